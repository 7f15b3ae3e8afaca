package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"graft/graph/onnx/internal/pb"
)

// FormatError says where a file stops being a model.
type FormatError struct {
	Offset  int64  // in bytes from the beginning of the file
	Field   string // such as `graph.initializer[3] "w".dims`; "" for the model itself
	Problem string
}

func (e *FormatError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s at byte %d", e.Problem, e.Offset)
	}
	return fmt.Sprintf("%s: %s at byte %d", e.Field, e.Problem, e.Offset)
}

// diagnose walks a file that could not be read as a model along the schema and returns the
// first thing wrong with it; nil where nothing is.
func diagnose(r io.ReaderAt, size int64) error {
	w := &walker{wireReader: newWireReader(r, size)}
	var e *FormatError
	if err := w.message((*pb.ModelProto)(nil).ProtoReflect().Descriptor(), size); !errors.As(err, &e) {
		return nil
	}
	return e
}

// walker checks the wire format of a message and of all messages in it.
type walker struct {
	*wireReader
	path []step
}

// step is one field on the way from the model to a message.
type step struct {
	field string
	index int    // -1 where the field is not repeated
	name  string // the message's own name, once it was read
}

func (w *walker) fail(offset int64, format string, args ...any) error {
	var b strings.Builder
	for i, s := range w.path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.field)
		if s.index >= 0 {
			fmt.Fprintf(&b, "[%d]", s.index)
		}
		if s.index >= 0 && s.name != "" {
			fmt.Fprintf(&b, " %q", s.name)
		}
	}
	return &FormatError{Offset: offset, Field: b.String(), Problem: fmt.Sprintf(format, args...)}
}

// message checks the fields of a message of type d that ends at end.
func (w *walker) message(d protoreflect.MessageDescriptor, end int64) error {
	if len(w.path) >= maxDepth {
		return w.fail(w.pos, "messages nest deeper than %d levels", maxDepth)
	}
	seen := make(map[protowire.Number]int)
	for w.pos < end {
		start := w.pos
		tag, err := w.varint("tag", end)
		if err != nil {
			return err
		}
		num, typ := protowire.DecodeTag(tag)
		if num < protowire.MinValidNumber || num > protowire.MaxValidNumber || typ > protowire.Fixed32Type {
			return w.fail(start, "no field can have tag 0x%x", tag)
		}
		field := d.Fields().ByNumber(num)
		s := step{field: fmt.Sprintf("field_%d", num), index: -1}
		if field != nil {
			s.field = string(field.Name())
			if field.IsList() && !field.IsPacked() {
				s.index = seen[num]
				seen[num]++
			}
		}
		w.path = append(w.path, s)
		if err := w.value(field, typ, end); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
	return nil
}

// value checks one field's value; field is nil where the schema does not know it.
func (w *walker) value(field protoreflect.FieldDescriptor, typ protowire.Type, end int64) error {
	start := w.pos
	switch typ {
	case protowire.VarintType:
		_, err := w.varint("number", end)
		return err
	case protowire.Fixed32Type:
		return w.fixed(4, end)
	case protowire.Fixed64Type:
		return w.fixed(8, end)
	case protowire.StartGroupType, protowire.EndGroupType:
		return w.fail(start, "group encoding, which ONNX does not use")
	}
	n, err := w.varint("length", end)
	if err != nil {
		return err
	}
	if n > uint64(end-w.pos) {
		left := end - w.pos
		if field != nil && field.Kind() == protoreflect.MessageKind && end == w.size {
			// The file is cut off: the field in which it ends says most.
			if err := w.message(field.Message(), end); err != nil {
				return err
			}
		}
		return w.fail(start, "length %d, but %d bytes are left", n, left)
	}
	switch stop := w.pos + int64(n); {
	case field != nil && field.Kind() == protoreflect.MessageKind:
		return w.message(field.Message(), stop)
	case field != nil && field.IsPacked():
		return w.packed(field, stop)
	case field != nil && field.Name() == "name" && n < 200:
		name, err := w.appendN(nil, int64(n), end)
		if len(w.path) > 1 {
			w.path[len(w.path)-2].name = string(name)
		}
		return err
	default:
		return w.skip(int64(n))
	}
}

// packed checks a list of numbers in one field.
func (w *walker) packed(field protoreflect.FieldDescriptor, end int64) error {
	width := map[protoreflect.Kind]int64{protoreflect.FloatKind: 4, protoreflect.DoubleKind: 8}[field.Kind()]
	if width > 0 {
		if n := end - w.pos; n%width != 0 {
			return w.fail(w.pos, "%d bytes for elements of %d", n, width)
		}
		return w.skip(end - w.pos)
	}
	for w.pos < end {
		if _, err := w.varint("number", end); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) varint(what string, end int64) (uint64, error) {
	start := w.pos
	v, err := binary.ReadUvarint(w)
	if err != nil || w.pos > end {
		return 0, w.fail(start, "%s is cut off or too long", what)
	}
	return v, nil
}

func (w *walker) fixed(n, end int64) error {
	if n > end-w.pos {
		return w.fail(w.pos, "%d bytes expected, %d are left", n, end-w.pos)
	}
	return w.skip(n)
}
