package pickle

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Whatever a file of paddle.save claims, it is refused or its arrays are read to their sizes.
func FuzzPaddle(f *testing.F) {
	for _, name := range []string{"lora/lora_model_state.pdparams", "nvembed/model_state-00002-of-00003.pdparams"} {
		raw, err := os.ReadFile(filepath.Join("../../testdata/paddle", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)-9])
	}
	f.Add([]byte("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x3f.")) // bytes that reach far behind the end
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), PaddleFileName)
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := OpenPaddle(path)
		if err != nil {
			return
		}
		defer c.Close()
		for _, x := range c.Tensors {
			if n, err := x.WriteTo(io.Discard); err == nil && n != x.Size() {
				t.Errorf("array %q: %d bytes, want %d", x.Name, n, x.Size())
			}
		}
	})
}
