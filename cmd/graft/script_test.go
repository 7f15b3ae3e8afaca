package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"graft/runtime/ort"
)

// The scripts of testdata/script run graft as a user does: each a folder of its own, graft a
// process of its own. Beside testscript's commands they have those of scriptCommands and the
// program interrupt; $MODELS holds the tiny checkpoints, $ROOT is the module.

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"graft": main, "interrupt": interrupt})
}

func TestScripts(t *testing.T) {
	needNative(t)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", root)
			e.Setenv("MODELS", filepath.Join(root, "testdata", "models"))
			e.Setenv("SYSTEMS", filepath.Join(root, "testdata", "systems"))
			e.Setenv("NATIVE", ort.Native())
			if err := os.Mkdir(filepath.Join(e.WorkDir, ".home"), 0o777); err != nil {
				return err
			}
			e.Setenv("HOME", filepath.Join(e.WorkDir, ".home"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".home", "cache"))
			e.Setenv("HF_HUB_OFFLINE", "1")
			for _, name := range []string{"GRAFT_NATIVE", "GOROOT", "GOFLAGS", "GOTOOLCHAIN"} {
				if value, ok := os.LookupEnv(name); ok {
					e.Setenv(name, value)
				}
			}
			return nil
		},
		Cmds:                scriptCommands,
		Condition:           scriptCondition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// needNative skips a test where ONNX Runtime is not here; under CI that is a failure.
func needNative(t *testing.T) {
	t.Helper()
	p, err := ort.ProviderNamed("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Missing()...); err != nil {
		absent(t, err)
	}
}

// absent skips the test that needs what err names; under CI that is a failure.
func absent(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// scriptCondition knows [openvino] (its library is here) and [lite] (built without libtorch).
func scriptCondition(name string) (bool, error) {
	switch name {
	case "openvino":
		return has(name), nil
	case "lite":
		info, _ := debug.ReadBuildInfo()
		for _, s := range info.Settings {
			if s.Key == "-tags" && strings.Contains(s.Value, "lite") {
				return true, nil
			}
		}
		return false, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":    exits,
	"json":     jsonObject,
	"truncate": truncate,
	"poison":   poison,
	"sametree": sameTree,
	"beir":     makeBEIR,
	"holds":    holds,
	"triplets": makeTriplets,
	"samelog":  sameLog,

	"checkpoint": makeCheckpoint,
	"vectors":    sameVectors,
}

// exits CODE PROGRAM [ARGUMENT…] runs the program, which must end with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT…]")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s\n%s%s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// json [PATH[=VALUE]…]: standard output is exactly one JSON object that has something at each
// path (keys and list indices, joined by dots), VALUE if that is given.
func jsonObject(ts *testscript.TestScript, neg bool, args []string) {
	object := map[string]any{}
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &object); err != nil || neg {
		ts.Fatalf("standard output is not one JSON object: %v", err)
	}
	for _, arg := range args {
		path, want, hasWant := strings.Cut(arg, "=")
		var at any = object
		for _, key := range strings.Split(path, ".") {
			switch x := at.(type) {
			case map[string]any:
				v, ok := x[key]
				if !ok {
					ts.Fatalf("%s: no key %q in %v", path, key, x)
				}
				at = v
			case []any:
				i, err := strconv.Atoi(key)
				if err != nil || i >= len(x) {
					ts.Fatalf("%s: no element %q in a list of %d", path, key, len(x))
				}
				at = x[i]
			default:
				ts.Fatalf("%s: no key %q in %v", path, key, x)
			}
		}
		if hasWant && fmt.Sprint(at) != want {
			ts.Fatalf("%s is %v, want %s", path, at, want)
		}
	}
}

// truncate FILE N cuts the file to N bytes; with a negative N, by so many.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE N")
	}
	path := ts.MkAbs(args[0])
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if n < 0 {
		st, err := os.Stat(path)
		ts.Check(err)
		n += st.Size()
	}
	ts.Check(os.Truncate(path, n))
}

// poison FILE makes the first number of a safetensors file of float32 NaN.
func poison(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: poison FILE")
	}
	path := ts.MkAbs(args[0])
	data := []byte(ts.ReadFile(path))
	first := 8 + binary.LittleEndian.Uint64(data) // behind the header, whose length comes first
	binary.LittleEndian.PutUint32(data[first:], math.Float32bits(float32(math.NaN())))
	ts.Check(os.WriteFile(path, data, 0o666))
}

// timed are the values of result files that tell when and how fast, not what.
var timed = regexp.MustCompile(`"(evaluation_time|date|start|end|seconds)": [-+.e0-9]+`)

// sametree A B compares two folders of results, but for times.
func sameTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sametree A B")
	}
	files := func(root string) map[string]string {
		all := map[string]string{}
		ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			name, _ := filepath.Rel(root, path)
			all[name] = timed.ReplaceAllString(string(data), `"$1": …`)
			return err
		}))
		return all
	}
	a, b := files(ts.MkAbs(args[0])), files(ts.MkAbs(args[1]))
	if len(a) != len(b) || len(a) == 0 {
		ts.Fatalf("%d files and %d", len(a), len(b))
	}
	for name, text := range a {
		if b[name] != text {
			ts.Fatalf("%s differs:\n%s\n\nand\n%s", name, text, b[name])
		}
	}
}

// clock are the values of training logs that tell when and how fast, not what.
var clock = regexp.MustCompile(`"(step_seconds|eval_seconds|resident_bytes)":[-+.e0-9]+`)

// samelog A B compares two training logs, but for times and memory.
func sameLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: samelog A B")
	}
	a := clock.ReplaceAllString(ts.ReadFile(args[0]), `"$1":0`)
	b := clock.ReplaceAllString(ts.ReadFile(args[1]), `"$1":0`)
	if a != b || a == "" {
		ts.Fatalf("%s:\n%s\n%s:\n%s", args[0], a, args[1], b)
	}
}

// beir DIR N makes a data set of N documents and 20 queries, each of which is the beginning of a
// document.
func makeBEIR(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: beir DIR N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	words := strings.Fields("stone river cloud engine garden paper signal winter copper bridge candle market")
	var corpus, queries, judgments strings.Builder
	judgments.WriteString("query-id\tcorpus-id\tscore\n")
	for i := range n {
		text := fmt.Sprintf("%s %s %s number %d", words[i%12], words[i/12%12], words[i/144%12], i)
		fmt.Fprintf(&corpus, "{\"_id\":\"d%d\",\"title\":\"\",\"text\":\"%s and what else is known of it\"}\n", i, text)
		if i < 20 {
			fmt.Fprintf(&queries, "{\"_id\":\"q%d\",\"text\":\"%s\"}\n", i, text)
			fmt.Fprintf(&judgments, "q%d\td%d\t1\n", i, i)
		}
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "qrels"), 0o777))
	ts.Check(os.WriteFile(filepath.Join(dir, "corpus.jsonl"), []byte(corpus.String()), 0o666))
	ts.Check(os.WriteFile(filepath.Join(dir, "queries.jsonl"), []byte(queries.String()), 0o666))
	ts.Check(os.WriteFile(filepath.Join(dir, "qrels", "test.tsv"), []byte(judgments.String()), 0o666))
}

// triplets FILE N NEGATIVES makes N rows of training data: each query is the beginning of its positive, and the
// negatives begin otherwise.
func makeTriplets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: triplets FILE N NEGATIVES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	negatives, err := strconv.Atoi(args[2])
	ts.Check(err)
	words := strings.Fields("stone river cloud engine garden paper signal winter copper bridge candle market")
	begin := func(i int) string {
		return fmt.Sprintf("%s %s %s number %d", words[i%12], words[i/12%12], words[i/144%12], i)
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	var rows bytes.Buffer
	lines := json.NewEncoder(&rows)
	for i := range n {
		row := struct {
			Query string   `json:"query"`
			Pos   []string `json:"pos"`
			Neg   []string `json:"neg"`
		}{begin(i), []string{begin(i) + " and what else is known of it"}, []string{}}
		for k := range negatives {
			row.Neg = append(row.Neg, begin(i+1+7*k)+" is another matter")
		}
		ts.Check(lines.Encode(row))
	}
	ts.Check(os.WriteFile(path, rows.Bytes(), 0o666))
}

// holds DIR [NAME…]: the folder holds these entries and nothing else, temporary files included.
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: holds DIR [NAME…]")
	}
	var names []string
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(args[1:]) {
		ts.Fatalf("%s holds %q, want %q", args[0], names, args[1:])
	}
}

// interrupt PATTERN PROGRAM [ARGUMENT…] is a program: it runs the other one with a standard input
// that does not end, sends it SIGINT, as Ctrl-C does, once a file matches PATTERN, and ends with
// its exit code. It ends with 99 where no file did.
func interrupt() {
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	in, out, err := os.Pipe()
	if err == nil {
		fmt.Fprintln(out, "the only line so far")
		cmd.Stdin = in
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interrupt:", err)
		os.Exit(98)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for sent := false; ; {
		select {
		case err := <-ended:
			out.Close()
			if !sent {
				fmt.Fprintf(os.Stderr, "interrupt: it ended before a file matched %q: %v\n", os.Args[1], err)
				os.Exit(99)
			}
			os.Exit(cmd.ProcessState.ExitCode())
		case <-time.After(time.Millisecond):
			if found, _ := filepath.Glob(os.Args[1]); len(found) > 0 && !sent {
				sent = true
				cmd.Process.Signal(os.Interrupt)
			}
		}
	}
}
