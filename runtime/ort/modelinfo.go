package ort

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// A ModelInfo is what a model file says about itself. Reading it maps the file
// and skips the weights: no session is created.
type ModelInfo struct {
	Inputs, Outputs []IO
	IRVersion       int64
	Producer        string            // name and version of the program that wrote the file
	Opsets          map[string]int64  // opset version by domain ("" is ai.onnx)
	Metadata        map[string]string // the model's metadata_props
	Nodes           int               // in the main graph
}

// An IO is a graph input or output.
type IO struct {
	Name string
	Type ElementType
	// Shape is nil when the file does not give it; a dimension that is not
	// fixed is -1 and Symbols holds its name ("" when it has none).
	Shape   []int64
	Symbols []string
}

// String formats the value as "input_ids int64 [batch sequence]".
func (v IO) String() string {
	var dims []string
	for i, d := range v.Shape {
		s := strconv.FormatInt(d, 10)
		if d < 0 {
			s = v.Symbols[i]
			if s == "" {
				s = "?"
			}
		}
		dims = append(dims, s)
	}
	return fmt.Sprintf("%s %s [%s]", v.Name, v.Type, strings.Join(dims, " "))
}

// ReadInfo reads a model file's inputs, outputs and metadata.
func ReadInfo(path string) (*ModelInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if st.IsDir() {
		return nil, fmt.Errorf("read model %q: it is a directory", path)
	}
	if st.Size() == 0 {
		return nil, fmt.Errorf("read model %q: the file is empty", path)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("read model %q: %w", path, err)
	}
	defer unix.Munmap(data)
	info, err := ParseInfo(data)
	if err != nil {
		return nil, fmt.Errorf("read model %q: %w", path, err)
	}
	return info, nil
}

// ParseInfo is ReadInfo of a model in memory. It keeps nothing of data.
func ParseInfo(data []byte) (*ModelInfo, error) {
	m := &ModelInfo{Opsets: map[string]int64{}, Metadata: map[string]string{}}
	var graph []byte
	err := fields(data, func(num protowire.Number, v field) error {
		switch num { // ModelProto
		case 1:
			m.IRVersion = int64(v.varint)
		case 2:
			m.Producer = strings.TrimSpace(string(v.bytes) + " " + m.Producer)
		case 3:
			m.Producer = strings.TrimSpace(m.Producer + " " + string(v.bytes))
		case 7:
			graph = v.bytes
		case 8:
			return m.opset(v.bytes)
		case 14:
			return m.property(v.bytes)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("not a whole ONNX file: %w", err)
	}
	if graph == nil {
		return nil, fmt.Errorf("not an ONNX file: it has no graph")
	}
	if err := m.graph(graph); err != nil {
		return nil, fmt.Errorf("not a whole ONNX file: graph: %w", err)
	}
	if len(m.Outputs) == 0 {
		return nil, fmt.Errorf("not an ONNX model: its graph has no outputs")
	}
	return m, nil
}

func (m *ModelInfo) opset(b []byte) error { // OperatorSetIdProto
	var domain string
	var version int64
	err := fields(b, func(num protowire.Number, v field) error {
		switch num {
		case 1:
			domain = string(v.bytes)
		case 2:
			version = int64(v.varint)
		}
		return nil
	})
	m.Opsets[domain] = version
	return err
}

func (m *ModelInfo) property(b []byte) error { // StringStringEntryProto
	var key, value string
	err := fields(b, func(num protowire.Number, v field) error {
		switch num {
		case 1:
			key = string(v.bytes)
		case 2:
			value = string(v.bytes)
		}
		return nil
	})
	m.Metadata[key] = value
	return err
}

// graph reads a GraphProto. Initializers that are listed among the inputs, as
// IR versions before 4 demand, are not inputs.
func (m *ModelInfo) graph(b []byte) error {
	initializers := map[string]bool{}
	var inputs []IO
	err := fields(b, func(num protowire.Number, v field) error {
		switch num {
		case 1:
			m.Nodes++
		case 5: // TensorProto: name is field 8
			return fields(v.bytes, func(num protowire.Number, t field) error {
				if num == 8 {
					initializers[string(t.bytes)] = true
				}
				return nil
			})
		case 11, 12:
			io, err := valueInfo(v.bytes)
			if err != nil {
				return err
			}
			if num == 11 {
				inputs = append(inputs, io)
			} else {
				m.Outputs = append(m.Outputs, io)
			}
		}
		return nil
	})
	for _, in := range inputs {
		if !initializers[in.Name] {
			m.Inputs = append(m.Inputs, in)
		}
	}
	return err
}

// valueInfo reads a ValueInfoProto: name 1, type 2 (tensor_type 1: elem_type
// 1, shape 2 (dim 1: dim_value 1, dim_param 2)).
func valueInfo(b []byte) (IO, error) {
	var io IO
	err := fields(b, func(num protowire.Number, v field) error {
		switch num {
		case 1:
			io.Name = string(v.bytes)
		case 2:
			return fields(v.bytes, func(num protowire.Number, t field) error {
				if num != 1 {
					return nil
				}
				return fields(t.bytes, func(num protowire.Number, s field) error {
					switch num {
					case 1:
						io.Type = ElementType(s.varint)
					case 2:
						io.Shape = []int64{}
						return fields(s.bytes, io.dimension)
					}
					return nil
				})
			})
		}
		return nil
	})
	return io, err
}

func (v *IO) dimension(num protowire.Number, dim field) error {
	if num != 1 {
		return nil
	}
	size, symbol := int64(-1), ""
	err := fields(dim.bytes, func(num protowire.Number, d field) error {
		switch num {
		case 1:
			size = int64(d.varint)
		case 2:
			symbol = string(d.bytes)
		}
		return nil
	})
	v.Shape, v.Symbols = append(v.Shape, size), append(v.Symbols, symbol)
	return err
}

// A field is one field of a protobuf message: bytes for length-delimited ones,
// else varint.
type field struct {
	bytes  []byte
	varint uint64
}

// fields calls f for each field of a message. Errors carry the offset in it.
func fields(b []byte, f func(protowire.Number, field) error) error {
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return fmt.Errorf("at byte %d: %w", at, protowire.ParseError(n))
		}
		var v field
		size := 0
		switch typ {
		case protowire.BytesType:
			v.bytes, size = protowire.ConsumeBytes(b[at+n:])
		case protowire.VarintType:
			v.varint, size = protowire.ConsumeVarint(b[at+n:])
		default:
			size = protowire.ConsumeFieldValue(num, typ, b[at+n:])
		}
		if size < 0 {
			return fmt.Errorf("at byte %d: %w", at, protowire.ParseError(size))
		}
		if err := f(num, v); err != nil {
			return err
		}
		at += n + size
	}
	return nil
}
