package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestCompare(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, better, noise := &PerQuery{"ndcg_at_10", map[string]float64{}}, &PerQuery{"ndcg_at_10", map[string]float64{}}, &PerQuery{"ndcg_at_10", map[string]float64{}}
	sum, squares := 0.0, 0.0
	for i := range 300 {
		q := fmt.Sprint(i)
		a.Values[q] = r.Float64()
		d := 0.03 + 0.1*r.NormFloat64()
		better.Values[q] = a.Values[q] + d
		noise.Values[q] = a.Values[q] + 0.1*float64(1-2*(i%2))
		sum, squares = sum+d, squares+d*d
	}
	c, err := Compare(a, better)
	if err != nil {
		t.Fatal(err)
	}
	mean := sum / 300
	half := 1.96 * math.Sqrt((squares/300-mean*mean)/300) // the normal approximation
	if math.Abs(c.Difference-mean) > 1e-12 || math.Abs(c.Low-(mean-half)) > half/10 || math.Abs(c.High-(mean+half)) > half/10 || !c.SignificantAt005 {
		t.Errorf("got %+v, want %v ± %v", c, mean, half)
	}
	if c, err = Compare(a, noise); err != nil || c.SignificantAt005 || c.Better != 150 || c.Worse != 150 {
		t.Errorf("noise: %+v, %v", c, err)
	}
	delete(noise.Values, "7")
	if _, err := Compare(a, noise); err == nil {
		t.Error("runs over different queries were compared")
	}
}

func TestPerQueryFile(t *testing.T) {
	table := ScoreRun(fixtureRun(t), fixtureQrels(t), false)
	path := filepath.Join(t.TempDir(), "x.tsv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.WriteTSV(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for m, metric := range table.Metrics {
		for c, k := range metric.cutoffs() {
			p, err := ReadPerQuery(path, metric.key(k))
			if err != nil {
				t.Fatal(err)
			}
			for q, query := range table.Queries {
				if p.Values[query] != table.Values[m][q][c] {
					t.Errorf("%s of %s: got %v, want %v", metric.key(k), query, p.Values[query], table.Values[m][q][c])
				}
			}
		}
	}
	if _, err := ReadPerQuery(path, "query-id"); err == nil {
		t.Error("the ids were read as figures")
	}
}
