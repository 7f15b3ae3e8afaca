package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// weights is a model with initializers of the given sizes in bytes, each filled with its index.
func weights(sizes ...int64) *graph.Model {
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Version: 17}}, Graph: &graph.Graph{Name: "g"}}
	for i, n := range sizes {
		m.Graph.AddInitializer(&graph.Tensor{
			Name: fmt.Sprintf("w%d", i), DType: graph.Uint8, Shape: []int64{n},
			Data: graph.Raw(bytes.Repeat([]byte{byte(i)}, int(n))),
		})
	}
	return m
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Where data goes: small tensors stay in the model, others begin at multiples of a page.
func TestExternalLayout(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	m := weights(10, 5000, 1023, 1024, 1<<20)
	if err := Write(path, m, Options{External: true}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	msg := &pb.ModelProto{}
	if err := proto.Unmarshal(b, msg); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range msg.Graph.Initializer {
		s := fmt.Sprintf("%s %d", w.GetName(), len(w.RawData))
		for _, e := range w.ExternalData {
			s += " " + e.GetKey() + "=" + e.GetValue()
		}
		got = append(got, s)
	}
	want := []string{
		"w0 10", "w1 0 location=m.onnx.data offset=0 length=5000", "w2 1023",
		"w3 0 location=m.onnx.data offset=8192 length=1024", "w4 0 location=m.onnx.data offset=12288 length=1048576",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if stat, err := os.Stat(path + ".data"); err != nil || stat.Size() != 12288+1<<20 {
		t.Errorf("data file: %v, %v", stat, err)
	}
	again, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := graph.Diff(m, again); lines != nil {
		t.Errorf("%q", lines)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want []string // files, or the error
	}{
		{Options{}, []string{"m.onnx"}},
		{Options{ExternalThreshold: 6000}, []string{"m.onnx"}},
		{Options{ExternalThreshold: 5999}, []string{"m.onnx", "m.onnx.data"}},
		{Options{External: true, ExternalName: "weights.bin"}, []string{"m.onnx", "weights.bin"}},
		{Options{External: true, ExternalName: "../weights.bin"}, []string{`external data cannot be called "../weights.bin"`}},
		{Options{External: true, ExternalName: "m.onnx"}, []string{`external data cannot be called "m.onnx"`}},
	} {
		dir := t.TempDir()
		err := Write(filepath.Join(dir, "m.onnx"), weights(1000, 5000), c.o)
		if err != nil {
			if !strings.Contains(err.Error(), c.want[0]) {
				t.Errorf("%+v: %v", c.o, err)
			}
			c.want = nil
		}
		if got := listing(t, dir); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}

// A model is written over the files it was read from, changed, again and again.
func TestWriteOverItself(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if err := Write(path, weights(100_000, 200_000), Options{External: true}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		m, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(m.Graph.Initializers)
		if err := Write(path, m, Options{External: true}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := weights(100_000, 200_000)
	slices.Reverse(want.Graph.Initializers)
	if lines := graph.Diff(want, m); lines != nil {
		t.Errorf("%q", lines)
	}
	if got := listing(t, dir); len(got) != 2 {
		t.Errorf("files %q", got)
	}
}

// If writing fails, the old files are as they were and nothing is left of the new ones.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	old := weights(5000)
	if err := Write(path, old, Options{External: true}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for name, data := range map[string]graph.Data{
		"fails": graph.Derived{Length: 3000, Write: func(io.Writer) error { return broken }},
		"short": graph.Derived{Length: 3000, Write: func(w io.Writer) error { _, err := w.Write([]byte{1}); return err }},
	} {
		for _, external := range []bool{false, true} {
			m := weights(4000)
			m.Graph.AddInitializer(&graph.Tensor{Name: "bad", DType: graph.Uint8, Shape: []int64{3000}, Data: data})
			err := Write(path, m, Options{External: external})
			if err == nil || !strings.Contains(err.Error(), `initializer "bad"`) || name == "fails" && !errors.Is(err, broken) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	wrong := weights(4000)
	wrong.Graph.Initializers[0].Init.Shape = []int64{4001}
	if err := Write(path, wrong, Options{}); err == nil || !strings.Contains(err.Error(), `tensor "w0": 4000 bytes of data for UINT8[4001]`) {
		t.Errorf("wrong size: %v", err)
	}
	m, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := graph.Diff(old, m); lines != nil {
		t.Errorf("%q", lines)
	}
	if got := listing(t, dir); !slices.Equal(got, []string{"m.onnx", "m.onnx.data"}) {
		t.Errorf("files %q", got)
	}
	if err := Write(dir, old, Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("onto a folder: %v", err)
	}
	if err := Write(filepath.Join(dir, "absent", "m.onnx"), old, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

// full is a writer with room for n bytes.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return f.n, syscall.ENOSPC
	}
	f.n -= len(p)
	return len(p), nil
}

func TestEncodeToFullWriter(t *testing.T) {
	m := weights(100, 300_000)
	var b bytes.Buffer
	if err := Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < b.Len(); n += 997 {
		if err := Encode(&full{n}, m); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("room for %d of %d bytes: %v", n, b.Len(), err)
		}
	}
	if err := Encode(&full{b.Len()}, m); err != nil {
		t.Error(err)
	}
}

// A disk that takes no more, here a limit on the size of files, leaves no files.
func TestWriteToFullDisk(t *testing.T) {
	if dir := os.Getenv("GRAFT_TEST_FULL_DISK"); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		for _, external := range []bool{false, true} {
			err := Write(filepath.Join(dir, "m.onnx"), weights(1000, 2<<20), Options{External: external})
			if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "write model") {
				t.Errorf("external %v: %v", external, err)
			}
		}
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestWriteToFullDisk$")
	child.Env = append(os.Environ(), "GRAFT_TEST_FULL_DISK="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := listing(t, dir); got != nil {
		t.Errorf("files %q", got)
	}
}

// The IR may be built by hand with mistakes in it: errors, no panics.
func TestEncodeBrokenModels(t *testing.T) {
	value := graph.NewValue("v", nil)
	for name, g := range map[string]*graph.Graph{
		"no graph":                   nil,
		"initializer without tensor": {Initializers: []*graph.Value{value}},
		"nil initializer":            {Initializers: []*graph.Value{nil}},
		"tensor without data":        {Initializers: []*graph.Value{{Name: "v", Init: &graph.Tensor{DType: graph.Float, Shape: []int64{1}}}}},
		"nil tensor in a list":       {Nodes: []*graph.Node{{Attrs: []graph.Attr{{Kind: graph.AttrTensors, Tensors: []*graph.Tensor{nil}}}}}},
		"extra":                      {Extra: []byte{0xff}},
	} {
		if err := Encode(io.Discard, &graph.Model{Graph: g}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	harmless := &graph.Graph{
		Inputs: []*graph.Value{nil}, Outputs: []*graph.Value{value}, ValueInfo: []*graph.Value{nil},
		Nodes: []*graph.Node{{Inputs: []*graph.Value{nil, value}, Attrs: []graph.Attr{{Kind: graph.AttrTensor}, {Kind: graph.AttrGraph}}}},
	}
	if err := Encode(io.Discard, &graph.Model{Graph: harmless}); err != nil {
		t.Error(err)
	}
	function := &graph.Function{Name: "f", Body: weights(1).Graph}
	err := Encode(io.Discard, &graph.Model{Graph: &graph.Graph{}, Functions: []*graph.Function{function}})
	if err == nil || !strings.Contains(err.Error(), `function "f": its body has initializers ("w0" first)`) {
		t.Errorf("initializers in a function: %v", err)
	}
}

// What the disk cannot hold is refused before any of it is computed.
func TestNoRoom(t *testing.T) {
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 23}}, Graph: &graph.Graph{Name: "huge"}}
	const petabyte = 1 << 50
	m.Graph.AddInitializer(&graph.Tensor{Name: "w", DType: graph.Uint8, Shape: []int64{petabyte}, Data: graph.Derived{Length: petabyte, Write: func(io.Writer) error {
		t.Error("its data are asked for")
		return nil
	}}})
	dir := t.TempDir()
	err := Write(filepath.Join(dir, "model.onnx"), m, Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "1125899.9 GB are needed") {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
