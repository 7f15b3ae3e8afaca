package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"graft/lines"
)

// config is what tokenizer_config.json and special_tokens_map.json say that
// matters for encoding.
type config struct {
	Class          string   `json:"tokenizer_class"`
	PaddingSide    Side     `json:"padding_side"`
	TruncationSide Side     `json:"truncation_side"`
	ModelMaxLength *float64 `json:"model_max_length"`

	LowerCase    *bool `json:"do_lower_case"`
	StripAccents *bool `json:"strip_accents"`
	ChineseChars *bool `json:"tokenize_chinese_chars"`

	tokens map[string]string // special token by role
	ids    map[string]int32  // their ids, for those in the vocabulary
	padID  int32
}

// roles are the special tokens that the files name, under "<role>_token".
var roles = []string{"pad", "bos", "eos", "cls", "sep", "mask", "unk"}

// readConfig reads the two configuration files; tokenizer_config.json wins.
func readConfig(f Files, o Options) (config, error) {
	c := config{tokens: map[string]string{}, ids: map[string]int32{}}
	if f.Config != nil {
		if err := lines.Unmarshal(f.Config, &c); err != nil {
			return c, fmt.Errorf("read %s: %w", fileConfig, err)
		}
	}
	for _, source := range []struct {
		name string
		data []byte
	}{{fileSpecial, f.Special}, {fileConfig, f.Config}} {
		if source.data == nil {
			continue
		}
		var fields map[string]json.RawMessage
		if err := lines.Unmarshal(source.data, &fields); err != nil {
			return c, fmt.Errorf("read %s: %w", source.name, err)
		}
		for _, role := range roles {
			token, err := tokenContent(fields[role+"_token"])
			if err != nil {
				return c, fmt.Errorf("read %s: %s_token: %w", source.name, role, err)
			}
			if token != "" {
				c.tokens[role] = token
			}
		}
	}
	if o.PadToken != "" {
		token := o.PadToken
		if role, ok := strings.CutSuffix(token, "_token"); ok && c.tokens[role] != "" {
			token = c.tokens[role]
		}
		c.tokens["pad"] = token
	}
	for _, side := range []struct {
		name     string
		to       *Side
		override Side
	}{{"padding_side", &c.PaddingSide, o.PaddingSide}, {"truncation_side", &c.TruncationSide, o.TruncationSide}} {
		if side.override != "" {
			*side.to = side.override
		}
		if s := *side.to; s != "" && s != Left && s != Right {
			return c, fmt.Errorf("%s is %q: it must be left or right", side.name, s)
		}
	}
	return c, nil
}

// tokenContent reads a token given as a string, as {"content": …} or as null.
func tokenContent(raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", nil
	}
	var text *string
	if json.Unmarshal(raw, &text) == nil {
		if text == nil {
			return "", nil
		}
		return *text, nil
	}
	var added struct{ Content string }
	if err := json.Unmarshal(raw, &added); err != nil {
		return "", errors.New("neither a string nor an added token")
	}
	return added.Content, nil
}

// resolve looks up the special tokens' ids, and what is still open in the
// padding section of tokenizer.json.
func (c *config) resolve(f *file, o Options) error {
	for role, token := range c.tokens {
		if id, ok := f.vocabulary.id(token); ok {
			c.ids[role] = id
		}
	}
	if _, ok := c.ids["pad"]; o.PadToken != "" && !ok {
		return fmt.Errorf("pad token %q is not in the tokenizer's vocabulary", o.PadToken)
	}
	stored := f.padding()
	if _, ok := c.ids["pad"]; !ok && stored != nil {
		c.ids["pad"] = stored.PadID
	}
	for _, role := range []string{"pad", "eos", "unk"} {
		if id, ok := c.ids[role]; ok {
			c.padID = id
			break
		}
	}
	if c.PaddingSide == "" {
		c.PaddingSide = Right
		if stored != nil && stored.Direction == "Left" {
			c.PaddingSide = Left
		}
	}
	if c.TruncationSide == "" {
		c.TruncationSide = Right
	}
	return nil
}

// unlimited is the model_max_length from which on transformers means none
// (it writes 10^30).
const unlimited = 1 << 30

func (c config) maxLength() int {
	if m := c.ModelMaxLength; m != nil && *m > 0 && *m < unlimited {
		return int(*m)
	}
	return 0
}
