package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// residentMiB is the process's resident memory, mapped files included.
func residentMiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc/self/status here to read the resident memory from")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kB / 1024
		}
	}
	t.Fatal("no VmRSS in /proc/self/status")
	return 0
}

// A file of any size goes through WriteTo in little memory; Bytes keeps what
// was touched until Release.
func TestResidentMemory(t *testing.T) {
	const size, small = 256 << 20, 32
	head := fmt.Sprintf(`{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, size, size)
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(8+len(head)+size)); err != nil { // sparse
		t.Fatal(err)
	}
	w := mustOpen(t, path).Tensor("w")
	before := residentMiB(t)
	if _, err := w.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	if grown := residentMiB(t) - before; grown > small {
		t.Errorf("WriteTo of %d MiB keeps %d MiB resident", size>>20, grown)
	}
	mapped, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := 0; i < size; i += 4096 {
		sum += int(mapped[i])
	}
	touched := residentMiB(t) - before
	if touched < size>>21 || sum != 0 {
		t.Errorf("touching all of Bytes keeps only %d MiB resident: the test does not measure", touched)
	}
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	if grown := residentMiB(t) - before; grown > small {
		t.Errorf("%d MiB stay resident after Release", grown)
	}
	t.Logf("%d MiB resident after touching Bytes", touched)
}
