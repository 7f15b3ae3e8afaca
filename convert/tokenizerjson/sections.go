package tokenizerjson

import "fmt"

// The parts of tokenizer.json that classes have in common.

func sequence(kind, list string, steps ...any) object {
	return object{"type": kind, list: steps}
}

func replaceText(text, by string) object {
	return object{"type": "Replace", "pattern": object{"String": text}, "content": by}
}

func replaceMatch(expression, by string) object {
	return object{"type": "Replace", "pattern": object{"Regex": expression}, "content": by}
}

func byteLevel(prefixSpace, trim, words bool) object {
	return object{"type": "ByteLevel", "add_prefix_space": prefixSpace, "trim_offsets": trim, "use_regex": words}
}

func metaspace(scheme string, split bool) object {
	return object{"type": "Metaspace", "replacement": underline, "prepend_scheme": scheme, "split": split}
}

// underline is what SentencePiece writes for a space.
const underline = "▁"

// A place of a template is a text, "A" or "B", or a special token, with the type of its ids.
type place struct {
	text  string
	token string
	kind  int
}

// template is a TemplateProcessing.
func (m *maker) templateOf(single, pair []place) (any, error) {
	special := object{}
	list := func(places []place) ([]any, error) {
		out := []any{}
		for _, p := range places {
			if p.text != "" {
				out = append(out, object{"Sequence": object{"id": p.text, "type_id": p.kind}})
				continue
			}
			id, ok := m.id(p.token)
			if !ok {
				return nil, fmt.Errorf("special token %q is not in it", p.token)
			}
			special[p.token] = object{"id": p.token, "ids": []int{id}, "tokens": []string{p.token}}
			out = append(out, object{"SpecialToken": object{"id": p.token, "type_id": p.kind}})
		}
		return out, nil
	}
	one, err := list(single)
	if err != nil {
		return nil, err
	}
	two, err := list(pair)
	if err != nil {
		return nil, err
	}
	return object{"type": "TemplateProcessing", "single": one, "pair": two, "special_tokens": special}, nil
}

// clsAndSep is BERT's template.
func (m *maker) clsAndSep() (any, error) { return m.bertTemplate(m.named["cls"], m.named["sep"]) }

// albertTemplate is ALBERT's and DeBERTa's, whose tokens have these names whatever the configuration says.
func (m *maker) albertTemplate() (any, error) { return m.bertTemplate("[CLS]", "[SEP]") }

func (m *maker) bertTemplate(first, end string) (any, error) {
	cls, sep := place{token: first}, place{token: end}
	single := []place{cls, {text: "A"}, sep}
	return m.templateOf(single, append(single[:3:3], place{text: "B", kind: 1}, place{token: sep.token, kind: 1}))
}

// clsAndTwoSeps is MPNet's.
func (m *maker) clsAndTwoSeps() (any, error) {
	cls, sep := place{token: m.named["cls"]}, place{token: m.named["sep"]}
	single := []place{cls, {text: "A"}, sep}
	return m.templateOf(single, append(single[:3:3], sep, place{text: "B", kind: 1}, place{token: sep.token, kind: 1}))
}

// fairseqTemplate is XLM-RoBERTa's, whose tokens have these names whatever the configuration says.
func (m *maker) fairseqTemplate() (any, error) {
	cls, sep := place{token: "<s>"}, place{token: "</s>"}
	single := []place{cls, {text: "A"}, sep}
	return m.templateOf(single, append(single[:3:3], sep, place{text: "B"}, sep))
}

// t5Template is T5's, whose end token has this name whatever the configuration says.
func (m *maker) t5Template() (any, error) {
	single := []place{{text: "A"}, {token: "</s>"}}
	return m.templateOf(single, append(single[:2:2], place{text: "B"}, place{token: "</s>"}))
}

// bosAndEos puts the begin and the end token around each text, as add_bos_token (true) and add_eos_token (false) say.
func (m *maker) bosAndEos() (any, error) {
	half := func(text string, kind int) ([]place, error) {
		list := []place{{text: text, kind: kind}}
		begin, err := m.settings.flag("add_bos_token", true)
		if err != nil {
			return nil, err
		}
		end, err := m.settings.flag("add_eos_token", false)
		if err != nil {
			return nil, err
		}
		if begin {
			list = append([]place{{token: m.named["bos"], kind: kind}}, list...)
		}
		if end {
			list = append(list, place{token: m.named["eos"], kind: kind})
		}
		return list, nil
	}
	single, err := half("A", 0)
	if err != nil {
		return nil, err
	}
	second, err := half("B", 1)
	if err != nil {
		return nil, err
	}
	return m.templateOf(single, append(single[:len(single):len(single)], second...))
}

// robertaProcessing is RoBERTa's.
func (m *maker) robertaProcessing() (any, error) {
	prefix, err := m.settings.flag("add_prefix_space", false)
	if err != nil {
		return nil, err
	}
	around := object{"type": "RobertaProcessing", "trim_offsets": true, "add_prefix_space": prefix}
	for _, role := range []string{"cls", "sep"} {
		id, ok := m.id(m.named[role])
		if !ok {
			return nil, fmt.Errorf("special token %q is not in it", m.named[role])
		}
		around[role] = []any{m.named[role], id}
	}
	return around, nil
}

// gpt2Template is GPT-2's: nothing, or the begin token where add_bos_token says so.
func (m *maker) gpt2Template() (any, error) {
	begin, err := m.settings.flag("add_bos_token", false)
	if err != nil || !begin {
		return byteLevel(true, false, true), err
	}
	single := []place{{token: m.named["bos"]}, {text: "A"}}
	return m.templateOf(single, append(single[:2:2], place{text: "B", kind: 1}))
}

// byteLevelTemplate adds no tokens.
func (m *maker) byteLevelTemplate() (any, error) { return byteLevel(true, false, true), nil }
