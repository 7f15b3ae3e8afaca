package convert

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"graft/graph"
)

// Every rope_type that is the same for texts of any length turns by the angles of the library, and
// scales cosines and sines as it does.
func TestRopeAngles(t *testing.T) {
	raw, err := os.ReadFile("../testdata/rope/rope.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Parameters json.RawMessage `json:"rope_parameters"`
			HeadDim    int             `json:"head_dim"`
			Context    int             `json:"max_position_embeddings"`
			Scaling    float64         `json:"attention_scaling"`
			Inverse    []float64       `json:"inv_freq"`
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%d cases: %v", len(file.Cases), err)
	}
	for _, c := range file.Cases {
		t.Run(string(c.Parameters), func(t *testing.T) {
			p, err := ropeConfig{Parameters: c.Parameters}.of(ropeDefaults{Theta: 1, Context: c.Context})
			if err != nil {
				t.Fatal(err)
			}
			inv, err := p.inverse(c.HeadDim)
			if err != nil || len(inv) != len(c.Inverse) {
				t.Fatalf("%d angles, want %d: %v", len(inv), len(c.Inverse), err)
			}
			for i, want := range c.Inverse {
				if math.Abs(float64(inv[i])-want) > 1e-6*want {
					t.Errorf("angle of pair %d: %g, want %g", i, inv[i], want)
				}
			}
			if got := p.attentionFactor(); math.Abs(got-c.Scaling) > 1e-12 {
				t.Errorf("cosines and sines times %g, want %g", got, c.Scaling)
			}
		})
	}
}

func TestRopeMistakes(t *testing.T) {
	for _, test := range []struct{ parameters, want string }{
		{`{"rope_type": "spiral"}`, `rope_type "spiral" is not known; known: ["default" "dynamic" "linear" "llama3" "longrope" "ntk" "yarn"]`},
		{`{"rope_type": "longrope", "factor": 4, "long_factor": [1], "short_factor": [1]}`, "short_factor has 1 numbers and long_factor 1, want 4"},
		{`{"rope_type": "longrope", "long_factor": [1, 1, -1, 1], "short_factor": [1, 1, 1, 1]}`, `rope_type "longrope" with impossible parameters`},
		{`{"type": "su"}`, "short_factor has 0 numbers"},
		{`{"rope_type": "linear"}`, `rope_type "linear" with impossible parameters`},
		{`{"rope_type": "dynamic", "factor": 0.5}`, "factor 0.5"},
		{`{"rope_type": "ntk", "factor": 8, "mixed_b": 0.5}`, "factor 8"},
		{`{"rope_type": "yarn", "factor": -4}`, "factor -4"},
		{`{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}`, "low_freq_factor 4, high_freq_factor 1"},
		{`{"rope_type": "default", "rope_theta": -1}`, "rope_theta -1"},
		{`{"rope_type": "linear", "factor": 2, "partial_rotary_factor": 3}`, "24 of a head's 8 features"},
		{`{"rope_type": 3}`, "rope_parameters: json"},
		{`[]`, "rope_parameters: json"},
	} {
		p, err := ropeConfig{Parameters: json.RawMessage(test.parameters)}.of(ropeDefaults{Theta: 10000, Context: 128})
		if err == nil {
			_, err = p.inverse(8)
		}
		if err == nil || !strings.Contains(err.Error(), "config.json: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %s", test.parameters, err, test.want)
		}
	}
}

// A model takes as many tokens as its rotary positions reach, which max_position_embeddings does
// not always say.
func TestRopeReach(t *testing.T) {
	for parameters, want := range map[string]int{
		`{}`:                                    128,
		`{"rope_type": "linear", "factor": 4}`:  128,
		`{"rope_type": "dynamic", "factor": 4}`: 512,
		`{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64}`: 256,
		`{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16}`: 128,
	} {
		if got := (ropeConfig{Parameters: json.RawMessage(parameters)}).positions(128); got != want {
			t.Errorf("%s: %d tokens, want %d", parameters, got, want)
		}
	}
}

// Angles for a part of a head are the library's, but its classes cannot turn by them.
func TestRopePartial(t *testing.T) {
	m := graph.NewBuilder(&graph.Graph{}, nil)
	positions := m.Input("positions", graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("sequence")))
	c := ropeConfig{Parameters: json.RawMessage(`{"rope_type": "linear", "factor": 2, "partial_rotary_factor": 0.5}`)}
	newRope(m, c, ropeDefaults{Theta: 10000, Context: 128}, positions, 8)
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), `partial_rotary_factor 0.5 with rope_type "linear" is not known`) {
		t.Errorf("error %v", err)
	}
}
