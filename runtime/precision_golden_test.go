//go:build golden

package runtime

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/runtime/ort"
	"graft/runtime/tokenizer"
)

// openvinoChild tells the test's own process from the others: a process opens one ONNX Runtime
// library, and OpenVINO's is another than the CPU provider's.
const openvinoChild = "GRAFT_RUNTIME_TEST_OPENVINO"

// TestGoldenForeignMaskInBFloat16: the published MiniLM masks with −3.4e38, which does not survive
// bfloat16. Opened as it is, its mask is raised and written anew, and its vectors are its own; where
// the mask is hidden from raising, it is refused, the second time from the verdict kept.
func TestGoldenForeignMaskInBFloat16(t *testing.T) {
	if os.Getenv(openvinoChild) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), openvinoChild+"=1", "XDG_CACHE_HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("%s", out) // under CI the child fails instead
		}
		t.Logf("%s", out)
		return
	}
	if err := ort.Load("openvino"); err != nil {
		missing(t, "OpenVINO: %v", err)
	}
	m := foreignMiniLM(t)
	exact := openedIn(t, m, "fp32")
	mended := openedIn(t, m, "bf16")
	cosine, err := compare(context.Background(), mended, exact)
	if err != nil || !(cosine >= 0.9999) {
		t.Errorf("in bf16 a cosine of %.6f to fp32, %v", cosine, err)
	}
	t.Logf("mended: cosine %.6f to fp32", cosine)

	hideMask(t, m.Graph.Graph)
	m.ID, m.Path = "sha256:hidden-mask", ""
	for _, when := range []string{"measured", "kept"} {
		var refused *PrecisionError
		e, err := Open(context.Background(), m, Options{Provider: "openvino", Precision: "bf16"})
		if !errors.As(err, &refused) || e != nil {
			t.Fatalf("%s: a graph whose vectors are wrong in bf16 is opened: %v", when, err)
		}
		t.Logf("%s: %v", when, err)
	}
	if len(readVerdicts()) < 2 {
		t.Errorf("the verdicts kept are %v", readVerdicts())
	}
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// foreignMiniLM is the MiniLM that others exported, with the pooling of its model card.
func foreignMiniLM(t *testing.T) Model {
	t.Helper()
	dir := filepath.Join(os.Getenv("GRAFT_MODELS"), "onnx", "all-minilm-l6-v2")
	if _, err := os.Stat(dir); err != nil {
		missing(t, "the set-up's models: %v", err)
	}
	m, err := convert.Open(filepath.Join(dir, "all-minilm-l6-v2.onnx"), convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	tok, err := tokenizer.FromFile(filepath.Join(dir, "tokenizer.json"), tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	return Model{ID: "sha256:foreign", Path: m.File, Graph: m.Graph, Tokenizer: tok, MaxLength: m.Modules.MaxLength}
}

func openedIn(t *testing.T, m Model, precision string) *Encoder {
	t.Helper()
	e, err := Open(context.Background(), m, Options{Provider: "openvino", Precision: precision})
	if err != nil {
		t.Fatalf("in %s: %v", precision, err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// hideMask writes −|mask| for each mask that is added to scores: the same numbers, in a form that
// no exporter writes and raising does not know.
func hideMask(t *testing.T, g *graph.Graph) {
	t.Helper()
	hidden := 0
	b := graph.NewBuilder(g, nil).Scope("hidden")
	count := len(g.Nodes)
	for _, n := range g.Nodes[:count] {
		if n.Is("Softmax") && n.Input(0).Def().Is("Add") {
			add := n.Input(0).Def()
			add.Inputs[1] = b.Op("Neg", []*graph.Value{b.Op("Abs", []*graph.Value{add.Inputs[1]})})
			hidden++
		}
	}
	if err := b.Err(); err != nil || hidden != 6 {
		t.Fatalf("%d masks of 6 layers, %v", hidden, err)
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
}
