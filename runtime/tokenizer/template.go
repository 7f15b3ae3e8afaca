package tokenizer

import (
	"encoding/json"
	"fmt"
)

// A template says which special tokens stand around and between sequences.
type template []piece

// A piece is special tokens, or one of the sequences.
type piece struct {
	ids      []int32 // special tokens; nil for a sequence
	sequence int     // 0 or 1: which text stands here
	typeID   int32
}

// specials returns how many special tokens the template adds.
func (t template) specials() int {
	n := 0
	for _, p := range t {
		n += len(p.ids)
	}
	return n
}

// plain has no special tokens: what a tokenizer without post-processor does.
var plain, plainPair = template{{}}, template{{}, {sequence: 1, typeID: 1}}

// setTemplates takes the templates from the file, or makes them as the options
// say.
func (t *Tokenizer) setTemplates(f *file, o Options) error {
	if o.AddBOSToken != nil || o.AddEOSToken != nil {
		return t.setBeginEnd(f, isTrue(o.AddBOSToken), isTrue(o.AddEOSToken))
	}
	single, pair, err := readPostProcessor(f.sections["post_processor"])
	if err != nil {
		return fmt.Errorf("post_processor: %w", err)
	}
	t.single, t.pair = single, pair
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// setBeginEnd makes [bos] A [eos] and [bos] A [eos] [bos] B [eos], the second
// half with type 1, as transformers' update_post_processor does.
func (t *Tokenizer) setBeginEnd(f *file, begin, end bool) error {
	special := func(role string, on bool, typeID int32) (template, error) {
		if !on {
			return nil, nil
		}
		token, ok := t.config.tokens[role]
		if !ok {
			return nil, fmt.Errorf("add_%s_token: the configuration names no %s_token", role, role)
		}
		id, ok := f.vocabulary.id(token)
		if !ok {
			return nil, fmt.Errorf("add_%s_token: %s_token %q is not in the vocabulary", role, role, token)
		}
		return template{{ids: []int32{id}, typeID: typeID}}, nil
	}
	for sequence := range 2 {
		before, err := special("bos", begin, int32(sequence))
		if err != nil {
			return err
		}
		after, err := special("eos", end, int32(sequence))
		if err != nil {
			return err
		}
		half := append(append(before, piece{sequence: sequence, typeID: int32(sequence)}), after...)
		if sequence == 0 {
			t.single = half
		}
		t.pair = append(t.pair, half...)
	}
	return nil
}

// postProcessor holds the fields of every kind of post-processor.
type postProcessor struct {
	Type       string            `json:"type"`
	Processors []json.RawMessage `json:"processors"` // Sequence
	Single     []templatePiece   `json:"single"`     // TemplateProcessing
	Pair       []templatePiece   `json:"pair"`
	Special    map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
	Sep namedID `json:"sep"` // BertProcessing, RobertaProcessing
	Cls namedID `json:"cls"`
}

type templatePiece struct {
	Sequence, SpecialToken *struct {
		ID     string `json:"id"` // "A" or "B", or the special token's name
		TypeID int32  `json:"type_id"`
	}
}

// namedID is a [token, id] pair.
type namedID struct{ id int32 }

func (n *namedID) UnmarshalJSON(data []byte) error {
	var token string
	return json.Unmarshal(data, &[]any{&token, &n.id})
}

// readPostProcessor reads the templates for one text and for two.
func readPostProcessor(raw json.RawMessage) (single, pair template, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return plain, plainPair, nil
	}
	var p postProcessor
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, nil, err
	}
	switch p.Type {
	case "ByteLevel": // moves offsets only
		return plain, plainPair, nil
	case "Sequence":
		return p.last()
	case "BertProcessing":
		return p.around(false)
	case "RobertaProcessing":
		return p.around(true)
	case "TemplateProcessing":
		if single, err = p.template(p.Single); err != nil {
			return nil, nil, fmt.Errorf("single: %w", err)
		}
		if pair, err = p.template(p.Pair); err != nil {
			return nil, nil, fmt.Errorf("pair: %w", err)
		}
		return single, pair, nil
	}
	return nil, nil, fmt.Errorf("unknown type %q", p.Type)
}

// last returns the templates of the one processor of a sequence that adds
// special tokens.
func (p postProcessor) last() (single, pair template, err error) {
	single, pair = plain, plainPair
	adding := 0
	for _, raw := range p.Processors {
		s, q, err := readPostProcessor(raw)
		if err != nil {
			return nil, nil, err
		}
		if s.specials()+q.specials() > 0 {
			single, pair, adding = s, q, adding+1
		}
	}
	if adding > 1 {
		return nil, nil, fmt.Errorf("a sequence of %d processors that add special tokens is not supported", adding)
	}
	return single, pair, nil
}

// around is [CLS] A [SEP] and [CLS] A [SEP] B [SEP]; RoBERTa doubles the middle
// separator and uses type 0 throughout.
func (p postProcessor) around(roberta bool) (single, pair template, err error) {
	cls, sep := []int32{p.Cls.id}, []int32{p.Sep.id}
	single = template{{ids: cls}, {}, {ids: sep}}
	pair = append(pair, single...)
	second := int32(1)
	if roberta {
		second = 0
		pair = append(pair, piece{ids: sep})
	}
	return single, append(pair, piece{sequence: 1, typeID: second}, piece{ids: sep, typeID: second}), nil
}

func (p postProcessor) template(pieces []templatePiece) (template, error) {
	var t template
	for _, q := range pieces {
		switch {
		case q.Sequence != nil:
			t = append(t, piece{sequence: map[string]int{"B": 1}[q.Sequence.ID], typeID: q.Sequence.TypeID})
		case q.SpecialToken != nil:
			special, ok := p.Special[q.SpecialToken.ID]
			if !ok || len(special.IDs) == 0 {
				return nil, fmt.Errorf("special token %q is not defined", q.SpecialToken.ID)
			}
			t = append(t, piece{ids: special.IDs, typeID: q.SpecialToken.TypeID})
		}
	}
	return t, nil
}
