package ort

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childEnv tells a test process which test it was started for.
const childEnv = "GRAFT_ORT_TEST_CHILD"

func runChild(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name())
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP: "+t.Name()):
		missing(t, "%s", out)
	default:
		t.Logf("%s", out)
	}
}

// buildShared makes an empty shared library that needs lib<need>.so.<version>,
// which is not there when the test uses it.
func buildShared(t *testing.T, file, need string, version int) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		missing(t, "%v", err)
	}
	dir := t.TempDir()
	dep := filepath.Join(dir, "lib"+need+".so")
	soname := fmt.Sprintf("lib%s.so.%d", need, version)
	source := filepath.Join(dir, "empty.c")
	if err := os.WriteFile(source, []byte("int graft_unused(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-shared", "-o", dep, "-Wl,-soname," + soname, source},
		{"-shared", "-o", file, source, "-Wl,--no-as-needed", dep},
	} {
		if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
			t.Fatalf("cc %v: %v\n%s", args, err, out)
		}
	}
}
