package pickle

import (
	"bytes"
	"fmt"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// storageClass is a torch.*Storage and holds its element type; untyped ones
// count bytes.
type storageClass string

// dtypeValue is a torch.dtype.
type dtypeValue string

// function is one of the few functions that a pickle may call, written in Go.
type function func(args []any) (any, error)

// Call is what the pickle machine calls.
func (f function) Call(args ...any) (any, error) { return f(args) }

// elementSize is the width in bytes of the element types that tensors may
// have, by their names in the safetensors format.
var elementSize = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
	"I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4,
	"I64": 8, "U64": 8, "F64": 8, "C64": 8,
}

// globals is everything that a pickle may refer to by name, next to
// collections.OrderedDict, which the pickle machine knows. What is not here is
// refused.
var globals = map[string]any{
	"torch._utils._rebuild_tensor":               function(rebuildTensor),
	"torch._utils._rebuild_tensor_v2":            function(rebuildTensor),
	"torch._utils._rebuild_tensor_v3":            function(rebuildTensorV3),
	"torch._utils._rebuild_parameter":            function(rebuildParameter),
	"torch._utils._rebuild_parameter_with_state": function(rebuildParameter),
	"torch.Size": function(first),

	"torch.BoolStorage":            storageClass("BOOL"),
	"torch.ByteStorage":            storageClass("U8"),
	"torch.CharStorage":            storageClass("I8"),
	"torch.ShortStorage":           storageClass("I16"),
	"torch.HalfStorage":            storageClass("F16"),
	"torch.BFloat16Storage":        storageClass("BF16"),
	"torch.IntStorage":             storageClass("I32"),
	"torch.FloatStorage":           storageClass("F32"),
	"torch.LongStorage":            storageClass("I64"),
	"torch.DoubleStorage":          storageClass("F64"),
	"torch.ComplexFloatStorage":    storageClass("C64"),
	"torch.UntypedStorage":         storageClass("U8"),
	"torch.storage.UntypedStorage": storageClass("U8"),

	"torch.bool":          dtypeValue("BOOL"),
	"torch.uint8":         dtypeValue("U8"),
	"torch.int8":          dtypeValue("I8"),
	"torch.float8_e4m3fn": dtypeValue("F8_E4M3"),
	"torch.float8_e5m2":   dtypeValue("F8_E5M2"),
	"torch.int16":         dtypeValue("I16"),
	"torch.uint16":        dtypeValue("U16"),
	"torch.float16":       dtypeValue("F16"),
	"torch.bfloat16":      dtypeValue("BF16"),
	"torch.int32":         dtypeValue("I32"),
	"torch.uint32":        dtypeValue("U32"),
	"torch.float32":       dtypeValue("F32"),
	"torch.int64":         dtypeValue("I64"),
	"torch.uint64":        dtypeValue("U64"),
	"torch.float64":       dtypeValue("F64"),
	"torch.complex64":     dtypeValue("C64"),
}

func findGlobal(module, name string) (any, error) {
	if g, ok := globals[module+"."+name]; ok {
		return g, nil
	}
	return nil, fmt.Errorf("refuses to call %q: a checkpoint of tensors has no need of it", module+"."+name)
}

// unpickle runs a scanned pickle on the pickle machine. Only what global gives
// for a name runs; persistentLoad resolves references to storages. The
// machine panics on some malformed pickles, which becomes an error here.
func unpickle(data []byte, global func(module, name string) (any, error), persistentLoad func(id any) (any, error)) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed pickle: %v", p)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(data))
	u.FindClass = global
	u.PersistentLoad = persistentLoad
	return u.Load()
}

// entry is one item of a Python dict.
type entry struct{ key, value any }

// dictEntries returns the items of a dict or OrderedDict in order, and whether
// the object is one.
func dictEntries(object any) ([]entry, bool) {
	var entries []entry
	switch d := object.(type) {
	case *types.Dict:
		for _, e := range *d {
			entries = append(entries, entry{e.Key, e.Value})
		}
	case *types.OrderedDict:
		for e := d.List.Front(); e != nil; e = e.Next() {
			item := e.Value.(*types.OrderedDictEntry)
			entries = append(entries, entry{item.Key, item.Value})
		}
	default:
		return nil, false
	}
	return entries, true
}

// sequence returns the items of a tuple or list, and whether the object is
// one.
func sequence(object any) ([]any, bool) {
	switch s := object.(type) {
	case *types.Tuple:
		return *s, true
	case *types.List:
		return *s, true
	}
	return nil, false
}

// integers returns a tuple or list of non-negative integers.
func integers(object any) ([]int64, error) {
	items, ok := sequence(object)
	if !ok {
		return nil, fmt.Errorf("%T where a tuple of integers is due", object)
	}
	values := make([]int64, len(items))
	for i, item := range items {
		n, ok := item.(int)
		if !ok || n < 0 {
			return nil, fmt.Errorf("%v where a non-negative integer is due", item)
		}
		values[i] = int64(n)
	}
	return values, nil
}
