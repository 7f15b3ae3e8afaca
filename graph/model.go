// Package graph is a model in memory: an ONNX graph of nodes and values, free of any
// file format, of protobuf and of native code.
//
// A Model owns a Graph; a Graph owns Nodes in topological order; a Node reads and writes
// Values by pointer, so renaming and rewiring touch no strings. Names, operators and
// attributes are those of the ONNX specification (github.com/onnx/onnx, IR.md and
// Operators.md); nodes of the default domain are written at their highest meaning
// (LayerNormalization, Gelu, RMSNormalization, RotaryEmbedding, Attention of opset 23),
// which pass.Lower turns into what a target runs fastest.
//
// What the IR does not model (training info, quantization annotations, sparse tensors,
// fields newer than this package) travels in the Extra fields, which belong to the codec
// in graph/onnx.
package graph

// Opset names the version of an operator set that a model was written against.
type Opset struct {
	Domain  string // "" is ai.onnx
	Version int64
}

// Property is one entry of a metadata list.
type Property struct{ Key, Value string }

// Model is a graph with what describes it.
type Model struct {
	IRVersion       int64
	Opsets          []Opset
	ProducerName    string
	ProducerVersion string
	Domain          string
	Version         int64
	Doc             string
	Metadata        []Property
	Graph           *Graph
	Functions       []*Function
	Extra           []byte // fields not modelled, in wire form; belongs to the codec
}

// Opset returns the version of domain that m imports, or 0. "ai.onnx" is the same as "".
func (m *Model) Opset(domain string) int64 { return OpsetOf(m.Opsets, domain) }

// OpsetOf returns the version of domain in list, or 0.
func OpsetOf(list []Opset, domain string) int64 {
	for _, o := range list {
		if sameDomain(o.Domain, domain) {
			return o.Version
		}
	}
	return 0
}

// SetOpset imports version of domain, replacing an earlier import.
func (m *Model) SetOpset(domain string, version int64) {
	for i := range m.Opsets {
		if sameDomain(m.Opsets[i].Domain, domain) {
			m.Opsets[i].Version = version
			return
		}
	}
	m.Opsets = append(m.Opsets, Opset{domain, version})
}

func sameDomain(a, b string) bool {
	if a == "ai.onnx" {
		a = ""
	}
	if b == "ai.onnx" {
		b = ""
	}
	return a == b
}

// Meta returns the value of a metadata key, and whether it is there.
func (m *Model) Meta(key string) (string, bool) {
	for _, p := range m.Metadata {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// SetMeta sets a metadata key.
func (m *Model) SetMeta(key, value string) { m.Metadata = setProperty(m.Metadata, key, value) }

func setProperty(list []Property, key, value string) []Property {
	for i := range list {
		if list[i].Key == key {
			list[i].Value = value
			return list
		}
	}
	return append(list, Property{key, value})
}

// Function is a model-local function: a graph that nodes call by domain and name.
type Function struct {
	Name, Domain, Overload string
	Doc                    string
	Opsets                 []Opset
	Attributes             []string // attributes without a default
	Defaults               []Attr   // attributes with one
	Body                   *Graph   // Inputs and Outputs are the formal parameters
	Metadata               []Property
	Extra                  []byte
}
