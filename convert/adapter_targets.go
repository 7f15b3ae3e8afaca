package convert

import (
	"regexp"
	"slices"
	"strings"

	"graft/graph/pass"
)

// LoRATargets is a regular expression of the linear modules of the transformer's blocks, which LoRA adapts
// unless told otherwise: of bert, (^|\.)(attention\.self\.query|…|output\.dense)$. It is "" where the
// graph has no blocks that are known; the graph of an ONNX file must be raised.
func (m *Model) LoRATargets() string {
	modules, err := pass.BlockModules(m.Graph)
	if err != nil || len(modules) == 0 {
		return ""
	}
	var kinds []string
	for _, name := range modules {
		kind := regexp.QuoteMeta(name[len(layerPrefix.FindString(name)):])
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return `(^|\.)(` + strings.Join(kinds, "|") + `)$`
}

// layerPrefix is what stands before a module's name within its layer: "encoder.layer.3.".
var layerPrefix = regexp.MustCompile(`^(?:.*\.)?[0-9]+\.`)
