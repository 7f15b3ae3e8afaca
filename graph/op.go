package graph

import (
	"fmt"
	"slices"
)

// Op is what the package knows of an operator from version Since of its operator set on.
// An operator whose inputs moved between versions has one row for each form (Squeeze took its
// axes as an attribute up to opset 12 and takes them as an input since 13).
type Op struct {
	Name    string
	Domain  string // "" is ai.onnx
	Since   int64
	In, Out Arity

	// Infer sets the types of the outputs; nil: they stay unknown.
	Infer func(*Inference) error
	// Fold computes the outputs from constant inputs; nil: the operator is not evaluated here.
	// It returns ErrNoFold where it does not cover the case.
	Fold func(*Folding) ([]*Tensor, error)
}

// Arity bounds a number of inputs or outputs; Max -1 is no bound.
type Arity struct{ Min, Max int }

func (a Arity) holds(n int) bool { return n >= a.Min && (a.Max < 0 || n <= a.Max) }

func (a Arity) String() string {
	switch {
	case a.Max < 0:
		return fmt.Sprintf("at least %d", a.Min)
	case a.Min == a.Max:
		return fmt.Sprint(a.Min)
	}
	return fmt.Sprintf("%d to %d", a.Min, a.Max)
}

func exactly(n int) Arity        { return Arity{n, n} }
func between(min, max int) Arity { return Arity{min, max} }
func atLeast(n int) Arity        { return Arity{n, -1} }

// one is the arity of nearly every output.
var one = exactly(1)

// Microsoft is the domain of ONNX Runtime's own operators (docs/ContribOperators.md there).
const Microsoft = "com.microsoft"

// tables lists all operators, a file for each kind.
var tables = [][]Op{
	mathOps, castOps, matmulOps, shapeOps, indexOps, reduceOps, nnOps, attentionOps, quantOps, controlOps, contribOps,
}

// opIndex finds the rows of an operator, newest first.
var opIndex = func() map[[2]string][]*Op {
	index := make(map[[2]string][]*Op)
	for _, table := range tables {
		for i := range table {
			op := &table[i]
			key := [2]string{op.Domain, op.Name}
			index[key] = append(index[key], op)
		}
	}
	for _, rows := range index {
		slices.SortFunc(rows, func(a, b *Op) int { return int(b.Since - a.Since) })
	}
	return index
}()

// LookupOp returns the row of an operator that holds in version of its domain's operator set,
// or nil where the table has none.
func LookupOp(domain, name string, version int64) *Op {
	for _, op := range rows(domain, name) {
		if op.Since <= version {
			return op
		}
	}
	return nil
}

// firstVersion is the version that an operator of the table came with, or 0.
func firstVersion(domain, name string) int64 {
	r := rows(domain, name)
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].Since
}

func rows(domain, name string) []*Op {
	if domain == "ai.onnx" {
		domain = ""
	}
	return opIndex[[2]string{domain, name}]
}

// Ops returns every row of the table, for tests and documentation.
func Ops() []*Op {
	var all []*Op
	for _, table := range tables {
		for i := range table {
			all = append(all, &table[i])
		}
	}
	return all
}

// attrKinds gives the kind of each attribute; across the operators of the tables a name has one
// kind, except for attrExceptions.
var attrKinds = map[string]AttrKind{
	"alpha": AttrFloat, "beta": AttrFloat, "bias": AttrFloat, "epsilon": AttrFloat, "gamma": AttrFloat,
	"lambd": AttrFloat, "momentum": AttrFloat, "ratio": AttrFloat, "scale": AttrFloat, "softcap": AttrFloat,
	"max": AttrFloat, "min": AttrFloat, "value_float": AttrFloat, "mask_filter_value": AttrFloat, "local_window_size": AttrInt,
	"allowzero": AttrInt, "axis": AttrInt, "batch_dims": AttrInt, "block_size": AttrInt, "ceil_mode": AttrInt,
	"count_include_pad": AttrInt, "detect_negative": AttrInt, "detect_positive": AttrInt, "dtype": AttrInt, "end": AttrInt,
	"exclusive": AttrInt, "fmod": AttrInt, "group": AttrInt, "interleaved": AttrInt, "is_causal": AttrInt,
	"K": AttrInt, "N": AttrInt, "bits": AttrInt, "k": AttrInt, "keepdims": AttrInt, "kv_num_heads": AttrInt,
	"largest": AttrInt, "noop_with_empty_axes": AttrInt, "num_groups": AttrInt, "num_heads": AttrInt,
	"num_outputs": AttrInt, "num_scan_inputs": AttrInt, "output_dtype": AttrInt, "p": AttrInt, "precision": AttrInt,
	"q_num_heads": AttrInt, "qk_matmul_output_mode": AttrInt, "reverse": AttrInt, "rotary_embedding_dim": AttrInt,
	"saturate": AttrInt, "select_last_index": AttrInt, "softmax_precision": AttrInt, "sorted": AttrInt,
	"start": AttrInt, "stash_type": AttrInt, "storage_order": AttrInt, "to": AttrInt, "training_mode": AttrInt,
	"transA": AttrInt, "transB": AttrInt, "transBatchA": AttrInt, "transBatchB": AttrInt, "unidirectional": AttrInt,
	"upper": AttrInt, "value_int": AttrInt, "do_rotary": AttrInt, "accuracy_level": AttrInt, "gather_axis": AttrInt,
	"quantize_axis": AttrInt, "rotary_interleaved": AttrInt, "scale_base": AttrFloat, "is_packed_batching": AttrInt,
	"axes": AttrInts, "dilations": AttrInts, "ends": AttrInts, "kernel_shape": AttrInts, "output_padding": AttrInts,
	"output_shape": AttrInts, "pads": AttrInts, "perm": AttrInts, "qkv_hidden_sizes": AttrInts, "scan_input_axes": AttrInts,
	"scan_input_directions": AttrInts, "scan_output_axes": AttrInts, "scan_output_directions": AttrInts, "starts": AttrInts,
	"strides": AttrInts, "split": AttrInts, "value_ints": AttrInts, "value_floats": AttrFloats,
	"approximate": AttrString, "auto_pad": AttrString, "direction": AttrString, "equation": AttrString, "mode": AttrString,
	"reduction": AttrString, "round_mode": AttrString, "value_string": AttrString, "value_strings": AttrStrings,
	"body": AttrGraph, "else_branch": AttrGraph, "then_branch": AttrGraph, "value": AttrTensor,
}

// attrExceptions lists attributes whose kind differs for one operator or one of its versions.
var attrExceptions = map[[2]string]bool{
	{"Pad", "value"}: true, // FLOAT up to opset 10
	{"Cast", "to"}:   true, // STRING in opset 1
}

// kindNames are the spec's names of attribute kinds (AttributeProto.AttributeType).
var kindNames = [...]string{"UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS",
	"TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS"}

// String returns the spec's name, such as "INTS".
func (k AttrKind) String() string {
	if k >= 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("AttrKind(%d)", int32(k))
}
