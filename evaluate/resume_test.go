package evaluate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestResume interrupts a run at every chunk, by cancelling and by an error, and continues.
func TestResume(t *testing.T) {
	data := generated(t, 330, 25)
	whole := &hashEncoder{dim: 16}
	wantOut := t.TempDir()
	if _, err := Run(t.Context(), generatedOptions(data, wantOut, whole)); err != nil {
		t.Fatal(err)
	}
	want := tree(t, wantOut)
	for stop := 1; stop <= 8; stop++ {
		out := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		e := &hashEncoder{dim: 16, before: func(Role) error {
			if calls++; calls == stop {
				cancel()
				if stop%2 == 0 {
					return context.Canceled
				}
			}
			return nil
		}}
		if _, err := Run(ctx, generatedOptions(data, out, e)); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at call %d: %v", stop, err)
		}
		if _, err := os.Stat(filepath.Join(out, "results/a__b/1/Generated.json")); err == nil {
			t.Errorf("stopped at call %d: a result was written", stop)
		}
		rest := &hashEncoder{dim: 16}
		if _, err := Run(t.Context(), generatedOptions(data, out, rest)); err != nil {
			t.Fatal(err)
		}
		sameTree(t, fmt.Sprint("stopped at call ", stop), tree(t, out), want)
		if twice := e.texts + rest.texts - whole.texts; twice > 50 {
			t.Errorf("stopped at call %d: %d texts encoded twice, more than a chunk", stop, twice)
		}
	}
}

// TestResumeIgnoresWhatDoesNotFit damages the state of an interrupted run, and changes
// what it depends on.
func TestResumeIgnoresWhatDoesNotFit(t *testing.T) {
	data := generated(t, 330, 25)
	interrupted := func() string {
		out := t.TempDir()
		calls := 0
		e := &hashEncoder{dim: 16, before: func(Role) error {
			if calls++; calls == 4 {
				return errors.New("stop")
			}
			return nil
		}}
		if _, err := Run(t.Context(), generatedOptions(data, out, e)); err == nil {
			t.Fatal("the run was not interrupted")
		}
		return out
	}
	whole := &hashEncoder{dim: 16}
	if _, err := Run(t.Context(), generatedOptions(data, t.TempDir(), whole)); err != nil {
		t.Fatal(err)
	}
	state := "runs/a__b/1/Generated.resume/"
	for name, change := range map[string]func(out string, o *Options){
		"a flipped bit": func(out string, _ *Options) {
			for _, file := range []string{rankingsFile(0, 0), queryVectorsFile} {
				path := filepath.Join(out, state, file)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)/2] ^= 1
				if err := os.WriteFile(path, b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a truncated file": func(out string, _ *Options) {
			for _, file := range []string{rankingsFile(0, 0), queryVectorsFile} {
				if err := os.Truncate(filepath.Join(out, state, file), 100); err != nil {
					t.Fatal(err)
				}
			}
		},
		"another prompt": func(_ string, o *Options) {
			e := o.Encoder
			o.Encoder = func(task Task) (Encoder, EncoderSettings, error) {
				encoder, s, err := e(task)
				s.QueryPrompt = "query: "
				return encoder, s, err
			}
		},
		"another length of the chunks": func(_ string, o *Options) { o.ChunkDocuments = 49 },
		"another similarity":           func(_ string, o *Options) { o.Model.Similarity = "dot" },
	} {
		out := interrupted()
		e := &hashEncoder{dim: 16}
		o := generatedOptions(data, out, e)
		change(out, &o)
		if _, err := Run(t.Context(), o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if e.texts < whole.texts {
			t.Errorf("%s: %d texts encoded, want all %d", name, e.texts, whole.texts)
		}
	}
}

// TestKilledAtTheEnd: what a run leaves that is killed while it tidies up goes with the next one, which finds the result.
func TestKilledAtTheEnd(t *testing.T) {
	data, out := generated(t, 60, 5), t.TempDir()
	run := func() {
		t.Helper()
		if _, err := Run(t.Context(), generatedOptions(data, out, &hashEncoder{dim: 16})); err != nil {
			t.Fatal(err)
		}
	}
	run()
	want := tree(t, out)
	left := filepath.Join(out, "runs", "a__b", "1", "Generated.resume", queryVectorsFile)
	if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o755), os.WriteFile(left, []byte("left"), 0o644)); err != nil {
		t.Fatal(err)
	}
	run()
	sameTree(t, "after a run that was killed while it tidied up", tree(t, out), want)
}

// TestKilled kills a process of its own again and again until one comes through.
func TestKilled(t *testing.T) {
	if out := os.Getenv("EVALUATE_TEST_OUT"); out != "" {
		e := &hashEncoder{dim: 16, before: func(Role) error { time.Sleep(10 * time.Millisecond); return nil }}
		if _, err := Run(t.Context(), generatedOptions(os.Getenv("EVALUATE_TEST_DATA"), out, e)); err != nil {
			t.Fatal(err)
		}
		return
	}
	data, wantOut, out := generated(t, 600, 25), t.TempDir(), t.TempDir()
	if _, err := Run(t.Context(), generatedOptions(data, wantOut, &hashEncoder{dim: 16})); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for attempt := 0; ; attempt++ {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), "EVALUATE_TEST_OUT="+out, "EVALUATE_TEST_DATA="+data)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(20+7*attempt) * time.Millisecond
		timer := time.AfterFunc(after, func() { _ = child.Process.Signal(syscall.SIGKILL) })
		err := child.Wait()
		timer.Stop()
		if err == nil {
			break
		}
		if child.ProcessState.ExitCode() > 0 {
			t.Fatalf("the process failed by itself: %v", err)
		}
		kills++
	}
	if kills == 0 {
		t.Fatal("the process came through at once; nothing was tested")
	}
	got := tree(t, out)
	for name := range got {
		if strings.Contains(name, ".tmp-") { // what a killed process was writing
			delete(got, name)
		}
	}
	sameTree(t, fmt.Sprint("after ", kills, " kills"), got, tree(t, wantOut))
}
