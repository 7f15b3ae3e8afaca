//go:build !lite

package train

import (
	"os"
	"path/filepath"
	"testing"
)

// A log is cut back to where a checkpoint was made; one that is too short cannot be.
func TestLogCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, logFile)
	l, complete, err := openLog(dir, 0)
	if err != nil || !complete {
		t.Fatalf("new log: %v, complete %v", err, complete)
	}
	if err := l.write(StepLine{Step: 1}); err != nil {
		t.Fatal(err)
	}
	size, err := l.sync()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(path)
	if err != nil || int64(len(kept)) != size {
		t.Fatalf("%d bytes, said to be %d: %v", len(kept), size, err)
	}
	l.write(StepLine{Step: 2})
	l.file.WriteString(`{"step":3,"lo`) // killed in the middle of a line
	l.Close()

	l, complete, err = openLog(dir, size)
	if err != nil || !complete {
		t.Fatalf("log after a kill: %v, complete %v", err, complete)
	}
	l.write(StepLine{Step: 2, Loss: 4})
	l.Close()
	curve, err := readCurve(path)
	if err != nil || len(curve) != 2 || curve[0].Step != 1 || curve[1].Loss != 4 {
		t.Errorf("after going on: %+v, %v", curve, err)
	}

	l, complete, err = openLog(t.TempDir(), size)
	if err != nil || complete {
		t.Errorf("a log that is not there: %v, complete %v", err, complete)
	}
	l.Close()
}
