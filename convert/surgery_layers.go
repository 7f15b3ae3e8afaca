package convert

import "encoding/json"

// layerLists are the keys of config.json that say something of each layer. In some models' configs a rule on the layers' places
// stands for the list.
var layerLists = []struct {
	key     string
	rule    func(Config) func(layer int) any // nil where the architecture has no such rule
	warning string                           // where a list takes the rule's place
}{
	{"layer_types", attentionTypes, "config.json names each layer's attention in layer_types now, which transformers 4 does not read: it goes by the layers' places"},
	{"no_rope_layers", turnedLayers, ""},
}

func attentionTypes(c Config) func(layer int) any {
	ruled, ok := c.(interface{ local(layer int) bool })
	if !ok {
		return nil
	}
	return func(layer int) any {
		if ruled.local(layer) {
			return slidingAttention
		}
		return fullAttention
	}
}

func turnedLayers(c Config) func(layer int) any {
	ruled, ok := c.(interface{ turned(layer int) bool })
	if !ok {
		return nil
	}
	return func(layer int) any {
		if ruled.turned(layer) {
			return 1
		}
		return 0
	}
}

// ruled is the list that a rule stands for in m's config; nil where its architecture has no such rule.
func (m *Model) ruled(rule func(Config) func(layer int) any) []any {
	if m.Arch == nil {
		return nil
	}
	config := m.Arch.Config()
	of := rule(config)
	if of == nil || json.Unmarshal(m.Config, config) != nil {
		return nil
	}
	list := make([]any, config.Sizes().Layers)
	for i := range list {
		list[i] = of(i)
	}
	return list
}
