package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"regexp"
	"strings"
	"testing"
)

// samplePage has every part of a page, with names that are HTML.
func samplePage() *Page {
	const evil = `<script>alert("x")</script>`
	p := &Page{Title: "graft report: sample & co", Tool: "graft dev"}
	p.Models = []Model{
		{Name: "minilm", Path: "build/minilm", Bytes: 90_300_000, Layers: 6, Parameters: 22_565_398, Precision: "FLOAT",
			Steps: []Step{{Command: "export", Settings: []Setting{{"target", "portable"}}}}},
		{Name: "minilm-4", Parent: "minilm", Bytes: 76_100_000, Layers: 4, Parameters: 19_016_451, Precision: "FLOAT",
			Steps: []Step{{Command: "prune", Settings: []Setting{{"kept", "[0, 3, 4, 5]"}}, Changes: []Setting{{"weights", "19016451"}}}}},
		{Name: "minilm-4-healed", Parent: "minilm-4", Bytes: 76_100_000, Layers: 4,
			Steps: []Step{{Command: "train", Settings: []Setting{{"teacher", evil}}}, {Command: "export"}}},
		{Name: "minilm-4-int8", Parent: "minilm-4-healed", Bytes: 19_300_000, Layers: 4, Precision: "INT8", Steps: []Step{{Command: "quantize"}}},
		{Name: evil, Bytes: 1},
	}
	for t, task := range []string{"SciFact", "NFCorpus"} {
		for i, m := range p.Models {
			s := Score{Model: m.Name, Provider: "openvino", Precision: "fp32", Task: task, Metric: "ndcg_at_10",
				Value: 0.645 - 0.3*float64(t) - 0.02*float64(i%3), Others: []Other{{"recall_at_100", 0.9}}}
			if i > 0 {
				d := s.Value - 0.645 + 0.3*float64(t)
				s.Difference = &Difference{Against: "minilm", Value: d, Low: d - 0.011, High: d + 0.012, Queries: 300, Better: 20, Worse: 41}
			}
			p.Scores = append(p.Scores, s)
		}
	}
	for i, m := range p.Models {
		rate := 20 + 9*float64(i)
		p.Speeds = append(p.Speeds, Speed{Model: m.Name, Name: m.Name + " openvino fp32", Provider: "openvino", Precision: "fp32",
			Rate: rate, Slowest: rate - 1, Fastest: rate + 2, Ratio: rate / 20, Load: 0.5, Peak: 480 << 20, Latency: 0.012})
	}
	p.Speeds = append(p.Speeds, Speed{Name: "a peer", Rate: 11, Slowest: 10, Fastest: 12, Ratio: 0.55})
	b := Blocks{Model: "minilm-4", Criterion: "block-influence"}
	for i, v := range []float64{0.157, 0.117, 0.132, 0.149, 0.181, 0.447} {
		b.Blocks = append(b.Blocks, Block{Index: i, Name: fmt.Sprintf("encoder.layer.%d", i), Score: v, Kept: i != 1 && i != 2})
	}
	p.Blocks = []Blocks{b}
	w := Weights{Model: "minilm-4-int8", Scheme: "int8-static"}
	for i := range 4 {
		for k, name := range []string{"attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"} {
			w.Weights = append(w.Weights, Weight{Name: fmt.Sprintf("encoder.layer.%d.%s", i, name), Form: "int8 per column", Error: 0.006 + 0.001*float64(i+k), Before: 590_000, After: 149_000})
		}
	}
	p.Weights = []Weights{w}
	run := Training{Name: "minilm-4-healed"}
	for i := range 120 {
		x := float64(i)
		run.Steps = append(run.Steps, TrainStep{Step: i + 1, Loss: 0.4*math.Exp(-x/40) + 0.05*math.Abs(math.Sin(9*x)) + 0.1, LearningRate: 5e-5 * (1 - x/120)})
		if i%30 == 29 {
			run.Evaluations = append(run.Evaluations, Evaluation{Step: i + 1, Metrics: map[string]float64{"ndcg_at_10": 0.6 + x/3000, "mrr_at_10": 0.55 + x/2500}})
		}
	}
	p.Training = []Training{run}
	return p
}

// sampleHeadings are those of a page that has every part.
var sampleHeadings = []string{"Models", "Chain of steps", "Quality, speed and size", "Tasks", "Speed", "Importance of blocks", "Quantization error", "Training"}

func written(t *testing.T, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageHasEveryPart(t *testing.T) {
	page := written(t, samplePage())
	for _, h := range sampleHeadings {
		if !strings.Contains(page, "<h2>"+h+"</h2>") {
			t.Errorf("no heading %q", h)
		}
	}
	for _, text := range []string{"0.64500", "−0.02000", "−0.03100 … −0.00800", "graft prune", "made from minilm-4-healed", "recall@100", "a peer"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
}

// What there is nothing of leaves no heading behind, and no plot.
func TestPageLeavesOutWhatIsMissing(t *testing.T) {
	whole := samplePage()
	for _, c := range []struct {
		page    *Page
		heading []string
	}{
		{&Page{Title: "t", Models: whole.Models}, []string{"Models", "Chain of steps"}},
		{&Page{Title: "t", Scores: whole.Scores}, []string{"Tasks"}},
		{&Page{Title: "t", Speeds: whole.Speeds}, []string{"Speed"}},
		{&Page{Title: "t", Training: whole.Training}, []string{"Training"}},
		{&Page{Title: "t", Blocks: whole.Blocks}, []string{"Importance of blocks"}},
		{&Page{Title: "t", Weights: whole.Weights}, []string{"Quantization error"}},
		{&Page{Title: "t"}, nil},
	} {
		page := written(t, c.page)
		if n := strings.Count(page, "<h2>"); n != len(c.heading) {
			t.Errorf("%d headings, want %q", n, c.heading)
		}
		for _, h := range c.heading {
			if !strings.Contains(page, "<h2>"+h+"</h2>") {
				t.Errorf("no heading %q", h)
			}
		}
	}
}

// Names come from folders and files: none of them is markup, in the page or in its plots.
func TestPageEscapes(t *testing.T) {
	page := written(t, samplePage())
	if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("a name is markup in the page")
	}
	for _, outside := range []string{"http:", "https:", "//", "url(", "@import"} {
		if i := strings.Index(page, outside); i >= 0 {
			t.Errorf("the page may ask the network for something: %q", page[i:min(len(page), i+80)])
		}
	}
}

// A plot in the page has none of the colours of paper: each is a variable, which a dark screen changes.
func TestSVGTakesThePagesColors(t *testing.T) {
	figures, err := samplePage().Figures()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		svg, err := f.SVG()
		if err != nil {
			t.Fatal(err)
		}
		text := string(svg)
		if own := regexp.MustCompile(`(fill|stroke):[^nv]\S*`).FindString(text); own != "" { // but none and var(…)
			t.Errorf("%s: a colour of its own: %q", f.Name, own)
		}
		for _, i := range inks() {
			if !strings.Contains(pageStyle, "--"+i.variable+":") {
				t.Errorf("the page has no colour %q", i.variable)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") || strings.Contains(text, "font-family") {
			t.Errorf("%s: a place that is no number, or a font of its own", f.Name)
		}
	}
}

func TestFiguresAreImages(t *testing.T) {
	figures, err := samplePage().Figures()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range figures {
		names = append(names, f.Name)
		var b bytes.Buffer
		if err := f.PNG(&b); err != nil {
			t.Fatal(err)
		}
		image, err := png.Decode(&b)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if w := image.Bounds().Dx(); w != plotWidth*pngDPI/72 {
			t.Errorf("%s is %d dots wide", f.Name, w)
		}
	}
	want := "quality-throughput quality-size differences block-influence-minilm-4 quantization-error-minilm-4-int8 loss-minilm-4-healed learning-rate-minilm-4-healed evaluations-minilm-4-healed"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("figures %s, want %s", got, want)
	}
}

func TestJSONOfAPage(t *testing.T) {
	raw, err := json.Marshal(samplePage())
	if err != nil {
		t.Fatal(err)
	}
	var back Page
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if again := written(t, &back); again != written(t, samplePage()) {
		t.Error("a page that was written as JSON and read back is another page")
	}
}
