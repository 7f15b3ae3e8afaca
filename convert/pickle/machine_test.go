package pickle

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archiveOf is a zip checkpoint with the given pickle and one storage of 16
// bytes under the key 0.
func archiveOf(t testing.TB, pickle string, more ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	records := append([]string{"a/data.pkl", pickle, "a/data/0", strings.Repeat("\x01", 16)}, more...)
	for i := 0; i < len(records); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: records[i], Method: zip.Store})
		if err == nil {
			_, err = w.Write([]byte(records[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBytes(t testing.TB, file []byte) (*Checkpoint, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// Pieces of pickles in protocol 0, which is text.
const (
	storage4 = "((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4\ntQ"
	rebuild  = "ctorch._utils\n_rebuild_tensor_v2\n"
)

// dict is {"w": value}.
func dict(value string) string { return "(dVw\n" + value + "s." }

// tensor4 is a tensor over the storage of 4 elements.
func tensor4(offset, size, stride string) string {
	return dict(rebuild + storage4 + offset + size + stride + "I00\n}tR")
}

func TestMalformedPickles(t *testing.T) {
	if _, err := openBytes(t, archiveOf(t, tensor4("I0\n", "(I4\nt", "(I1\nt"))); err != nil {
		t.Fatalf("the well-formed one: %v", err)
	}
	for _, test := range []struct{ name, pickle, want string }{
		{"call", dict("cos\nsystem\n(Vtrue\ntR"), `refuses to call "os.system"`},
		{"instance", dict("(Vtrue\nios\nsystem\n"), `refuses to call "os.system"`},
		{"stack global", "\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", `refuses to call "builtins.eval"`},
		{"type of tensor", dict("ctorch\nQInt8Storage\n"), `refuses to call "torch.QInt8Storage"`},
		{"whole module", dict("cmodels\nNet\n)\x81"), `refuses to call "models.Net"`},
		{"reduce of data", dict("Vx\n)R"), "requires a Callable"},
		{"no stop", "(d", "byte 2: pickle ends without STOP"},
		{"long string", "\x8d\xff\xff\xff\xff\xff\xff\xff\x0fx.", "byte 0: opcode 0x8d: unexpected EOF"},
		{"impossible string", "\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "length 18446744073709551615 is impossible"},
		{"long frame", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.", "no tensors by name"},
		{"long line", "V" + strings.Repeat("x", maxLine) + "\n.", "line is too long"},
		{"many marks", strings.Repeat("(", maxMarks+1) + ".", "more than 1024 marks"},
		{"many opcodes", strings.Repeat("N0", maxOpcodes/2) + "N.", "more than 2097152 opcodes"},
		{"extension", "\x82\x01.", "opcode 0x82 is not supported"},
		{"unknown opcode", "\xff.", "opcode 0xff is not supported"},
		{"empty stack", ".", "stack is empty"},
		{"empty long", "\x8a\x00.", "malformed pickle"},
		{"odd dict", "(Vx\nd.", "malformed pickle"},
		{"append to a set", "\x8f(C\x01xe.", "APPEND requires"},
		{"unhashable", "\x8f(C\x01x\x90.", "malformed pickle"},
		{"not a dict", "Vx\n.", "holds a string, not a dict"},
		{"dict in itself", "(dp0\nVmodel\ng0\ns.", "no tensors by name"},
		{"no tensors", dict("I1\n"), "no tensors by name"},
		{"same name twice", "(dVw\nI1\nsVw\nI2\ns.", `holds "w" twice`},
		{"unknown storage", dict("(Vstorage\nctorch\nFloatStorage\nV7\nVcpu\nI4\ntQ"), `storage "7": zip archive has no such record`},
		{"storage outside", dict("(Vstorage\nctorch\nFloatStorage\nV../../0\nVcpu\nI4\ntQ"), "no such record"},
		{"storage too long", dict("(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI5\ntQ"), `storage "0": 5 elements of F32 do not make its 16 bytes`},
		{"storage overflow", dict("(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4611686018427387908\ntQ"), "do not make its 16 bytes"},
		{"storage of a string", dict("(Vstorage\nVx\nV0\nVcpu\nI4\ntQ"), "malformed"},
		{"other id", dict("Vx\nQ"), "not that of a storage"},
		{"tensor beyond storage", tensor4("I1\n", "(I4\nt", "(I1\nt"), "needs more than the storage's 16 bytes"},
		{"offset beyond storage", tensor4("I5\n", "(I0\nt", "(I1\nt"), "needs more than the storage's 16 bytes"},
		{"stride beyond storage", tensor4("I0\n", "(I2\nt", "(I4\nt"), "needs more than the storage's 16 bytes"},
		{"negative offset", tensor4("I-1\n", "(I1\nt", "(I1\nt"), "storage offset -1"},
		{"negative stride", tensor4("I3\n", "(I4\nt", "(I-1\nt"), "stride: -1 where a non-negative"},
		{"rank", tensor4("I0\n", "(I4\nI1\nt", "(I1\nt"), "2 sizes and 1 strides"},
		{"overflow", tensor4("I0\n", "(I4611686018427387904\nI8\nt", "(I0\nI0\nt"), "overflows"},
		{"span overflow", tensor4("I0\n", "(I3\nt", "(I4611686018427387904\nt"), "overflows"},
		{"expanded", tensor4("I0\n", "(I1099511627776\nt", "(I0\nt"), "expanded view of only 16 bytes"},
		{"tensor of a number", dict(rebuild + "(I1\nI0\n(t(tI00\n}tR"), "int where a storage is due"},
		{"few arguments", dict(rebuild + "(I1\ntR"), "1 arguments"},
		{"conjugate", dict(rebuild + storage4 + "I0\n(I4\nt(I1\ntI00\n}(dVconj\nI01\nstR"), "conjugate"},
		{"parameter of a number", dict("ctorch._utils\n_rebuild_parameter\n(I1\nI01\n}tR"), "int where a tensor is due"},
	} {
		_, err := openBytes(t, archiveOf(t, test.pickle))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

func TestOtherFiles(t *testing.T) {
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	good := tensor4("I0\n", "(I4\nt", "(I1\nt")
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not a torch checkpoint"},
		{"text", []byte("hello"), "not a torch checkpoint"},
		{"lfs pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"},
		{"tar", tar, "tar format"},
		{"another pickle", []byte("I1\n."), "magic number is missing"},
		{"torchscript", archiveOf(t, good, "a/constants.pkl", ""), "TorchScript"},
		{"big-endian", archiveOf(t, good, "a/byteorder", "big"), `byte order is "big"`},
		{"record twice", archiveOf(t, good, "a/data/0", ""), `holds "a/data/0" twice`},
	} {
		if _, err := openBytes(t, test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// FuzzPickle checks that no pickle makes the machine panic, and that tensors
// it accepts stay inside their storage and can be read.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(tensor4("I0\n", "(I2\nI2\nt", "(I1\nI2\nt")))
	for _, name := range []string{"state.bin", "state_protocol4.bin"} {
		z, err := zip.OpenReader(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		r, err := z.Open("archive/data.pkl")
		if err != nil {
			f.Fatal(err)
		}
		var pickle bytes.Buffer
		if _, err := pickle.ReadFrom(r); err != nil {
			f.Fatal(err)
		}
		f.Add(pickle.Bytes())
	}
	memory := &storage{size: 96, open: func(offset, size int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, 96)[offset : offset+size])), nil
	}}
	load := func(id any) (any, error) {
		class, _, _, _, err := storageID(id)
		return &view{storage: memory, dtype: string(class), size: memory.size}, err
	}
	f.Fuzz(func(t *testing.T, pickle []byte) {
		data, err := newScanner(bytes.NewReader(pickle)).next()
		if err != nil {
			return
		}
		object, err := unpickle(data, findGlobal, load)
		if err != nil {
			return
		}
		tensors, err := stateDict(object)
		if err != nil {
			return
		}
		for _, tensor := range tensors {
			if got := readAll(t, tensor); int64(len(got)) != tensor.Size() {
				t.Fatalf("%d bytes of %+v", len(got), tensor)
			}
		}
	})
}
