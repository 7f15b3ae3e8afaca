package tokenizerjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// addedToken is a token that is found in a text before the model sees it, as tokenizer.json keeps it.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"` // it is looked for in the normalized text
	Special    bool   `json:"special"`
}

// addedTokenFields is one in the configuration files.
type addedTokenFields struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized *bool  `json:"normalized"`
	Special    bool   `json:"special"`
}

func (f addedTokenFields) token() addedToken {
	t := addedToken{Content: f.Content, SingleWord: f.SingleWord, LStrip: f.LStrip, RStrip: f.RStrip, Normalized: !f.Special, Special: f.Special}
	if f.Normalized != nil {
		t.Normalized = *f.Normalized
	}
	return t
}

// readToken reads a token that is given as a text, as an object, or as null.
func readToken(raw json.RawMessage) (t addedToken, text bool, err error) {
	var content *string
	if json.Unmarshal(raw, &content) == nil {
		if content == nil {
			return addedToken{}, false, nil
		}
		return addedToken{Content: *content, Special: true}, true, nil
	}
	var f addedTokenFields
	if err := json.Unmarshal(raw, &f); err != nil {
		return addedToken{}, false, errors.New("neither a text nor an added token")
	}
	return f.token(), false, nil
}

// add adds a token, or changes how one is matched: its id is the one that it has, or the next.
func (m *maker) add(t addedToken) {
	for i, old := range m.added {
		if old.Content == t.Content {
			t.ID = old.ID
			m.added[i] = t
			return
		}
	}
	id, ok := m.vocab[t.Content]
	if !ok {
		id = m.size
		for _, old := range m.added {
			id = max(id, old.ID+1)
		}
	}
	t.ID = id
	m.added = append(m.added, t)
}

// id is a token's id.
func (m *maker) id(token string) (int, bool) {
	for _, t := range m.added {
		if t.Content == token {
			return t.ID, true
		}
	}
	id, ok := m.vocab[token]
	return id, ok
}

// specialToken is a special token and whether it says itself how it is matched.
type specialToken struct {
	addedToken
	said bool
}

// specialTokens are the special tokens in the order of the roles, those of several roles once; m.named gets their names.
func (m *maker) specialTokens() ([]specialToken, error) {
	m.named = map[string]string{}
	var list []specialToken
	seen := map[string]bool{}
	for _, role := range roles {
		t, err := m.roleToken(role)
		if err != nil {
			return nil, err
		}
		if t.Content == "" {
			continue
		}
		m.named[role] = t.Content
		if !seen[t.Content] {
			list = append(list, t)
		}
		seen[t.Content] = true
	}
	additional, err := m.settings.additional(m.class.additional)
	if err != nil {
		return nil, err
	}
	for _, t := range m.extra {
		additional = append(additional, specialToken{addedToken{Content: t, Special: true}, false})
	}
	for _, t := range additional {
		if !seen[t.Content] {
			list = append(list, t)
		}
	}
	return list, nil
}

// roleToken is the special token of a role: what the configuration says, as added_tokens_decoder has it, else the class's.
func (m *maker) roleToken(role string) (specialToken, error) {
	var numbered *addedToken
	t, text, err := m.settings.token(role)
	_, given := m.settings.values[role+"_token"]
	if !given {
		t, text = addedToken{Content: m.class.special[role], Special: true}, true
	}
	for i, n := range m.settings.numbered {
		if n.Content == t.Content {
			numbered = &m.settings.numbered[i]
		}
	}
	if _, has := m.id(t.Content); !given && !has && numbered == nil && !slices.Contains(m.class.beyond, role) {
		return specialToken{}, err // the library would give it an id beyond the embedding table
	}
	how, wrapped := m.class.wrapped[role]
	switch {
	case given && numbered != nil && m.settings.has("added_tokens_decoder"):
		return specialToken{*numbered, true}, err
	case text && wrapped:
		how.Content = t.Content
		return specialToken{how, true}, err
	}
	return specialToken{t, !text}, err
}

// addTokens adds the tokens of the configuration to those that the vocabulary's file has: the numbered ones by their ids, then
// special tokens that are not among them, or that say otherwise how they are matched.
func (m *maker) addTokens() error {
	special, err := m.specialTokens()
	if err != nil {
		return err
	}
	isSpecial := map[string]bool{}
	for _, t := range special {
		isSpecial[t.Content] = true
	}
	known := map[string]bool{}
	own := slices.Clone(m.added) // the vocabulary's, which the library leaves as they are where the configuration says the same somewhere
	for _, t := range own {
		known[t.Content] = true
	}
	for _, t := range m.settings.numbered {
		if t.Content == "" {
			continue
		}
		wanted := t.ID
		t.Special = t.Special || isSpecial[t.Content]
		known[t.Content] = true
		m.add(t)
		if id, _ := m.id(t.Content); id != wanted {
			return fmt.Errorf("the added token %q is to have id %d, but the fast tokenizer gives it %d: the ids before it have gaps, or the vocabulary has it",
				t.Content, wanted, id)
		}
	}
	for _, t := range special {
		t.Special = true
		same := func(o addedToken) bool { o.ID = t.ID; return o == t.addedToken }
		if (t.said || !known[t.Content]) && !slices.ContainsFunc(own, same) {
			m.add(t.addedToken)
		}
	}
	return nil
}
