//go:build golden

package pass_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// openvinoChild tells the test's own process from the others: a process opens one ONNX Runtime
// library, and OpenVINO's is another than the CPU provider's.
const openvinoChild = "GRAFT_PASS_TEST_OPENVINO"

// TestGoldenMaskInBFloat16: the published MiniLM masks with −3.4e38, and in bfloat16 its vectors
// are wrong without a word. Raised and lowered they are right.
func TestGoldenMaskInBFloat16(t *testing.T) {
	if os.Getenv(openvinoChild) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestGoldenMaskInBFloat16$", "-test.v")
		cmd.Env = append(os.Environ(), openvinoChild+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "--- SKIP") {
			missing(t, "%s", out)
		}
		t.Logf("%s", out)
		return
	}
	m := readForeign(t, "all-minilm-l6-v2", "all-minilm-l6-v2.onnx")
	want := onOpenVINO(t, m, "f32")
	before := cosine(pooled(onOpenVINO(t, m, "bf16")), pooled(want))
	if _, err := pass.Raise(m); err != nil {
		t.Fatal(err)
	}
	low := lower(t, m, pass.LowerOptions{})
	agree(t, "f32", realTokens(onOpenVINO(t, low, "f32")), realTokens(want), 2e-5)
	after := cosine(pooled(onOpenVINO(t, low, "bf16")), pooled(want))
	t.Logf("smallest cosine of a text to float32: %.5f as published, %.5f raised and lowered", before, after)
	if after < 0.9999 {
		t.Errorf("cosine %.5f of a text to float32, want 0.9999", after)
	}
}

// pooled is the mean of each text's real tokens.
func pooled(out arrays) arrays {
	rows := realTokens(out)["last_hidden_state"]
	n, data := int(rows.Shape[1]), rows.Data.([]float32)
	mean := make([]float32, 3*n)
	row := 0
	for text, length := range []int{8, 4, 3} {
		for range length {
			for i := range n {
				mean[text*n+i] += data[row*n+i] / float32(length)
			}
			row++
		}
	}
	return arrays{"last_hidden_state": floats(mean, 3, int64(n))}
}

func onOpenVINO(t *testing.T, m *graph.Model, precision string) arrays {
	t.Helper()
	if err := ort.Load("openvino"); err != nil {
		missing(t, "%v", err)
	}
	var file bytes.Buffer
	if err := onnx.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	s, err := ort.OpenBytes(file.Bytes(), nil, ort.Options{Provider: "openvino", Precision: precision, AllowFallback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.RunArrays(context.Background(), tokens())
	if err != nil {
		t.Fatal(err)
	}
	return out
}
