package convert

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// The table that llama.cpp writes for a model of llama 3's scaling, computed as its converter does
// (convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors), gives the model's own angles again.
func TestRopeTable(t *testing.T) {
	const theta, dim, factor = 500000.0, 128, 8.0
	var table []float32
	for i := range dim / 2 {
		wave := 2 * math.Pi * math.Pow(theta, 2*float64(i)/dim)
		switch low, high := 8192/1.0, 8192/4.0; {
		case wave < high:
			table = append(table, 1)
		case wave > low:
			table = append(table, factor)
		default:
			smooth := (8192/wave - 1) / (4 - 1)
			table = append(table, float32(1/((1-smooth)/factor+smooth)))
		}
	}
	scaling, err := llama3Of(table, theta, dim)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"rope_theta": theta, "rope_scaling": scaling})
	if err != nil {
		t.Fatal(err)
	}
	var c ropeConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	p, err := c.of(ropeDefaults{Context: 131072})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := p.inverse(dim)
	if err != nil {
		t.Fatal(err)
	}
	for i, divisor := range table {
		want := math.Pow(theta, -2*float64(i)/dim) / float64(divisor)
		if math.Abs(float64(inv[i])-want) > 1e-6*want {
			t.Errorf("angle of pair %d: %g, want %g", i, inv[i], want)
		}
	}
	table[5] = 3
	if _, err := llama3Of(table, theta, dim); err == nil || !strings.Contains(err.Error(), `"rope_freqs.weight": element 5 is 3`) {
		t.Errorf("another table: %v", err)
	}
	if _, err := llama3Of(table[1:], theta, dim); err == nil || !strings.Contains(err.Error(), "63 elements") {
		t.Errorf("a short table: %v", err)
	}
}
