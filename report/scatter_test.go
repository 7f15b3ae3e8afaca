package report

import (
	"testing"

	"gonum.org/v1/plot/vg"
)

// Labels of points lie on no point, on no other label and inside the plot where there is room.
func TestLabelsDoNotOverlap(t *testing.T) {
	p := samplePage()
	qualities, _, _ := p.Qualities()
	marks := p.speedMarks(qualities)
	if len(marks) != len(p.Models) || marks[1].from != 0 || marks[0].from != -1 || marks[3].from != 2 {
		t.Fatalf("marks %+v", marks)
	}
	at, area := canvasPoints(marks)
	boxes := marks.place(area, at)
	for i, a := range boxes {
		if outside(a, area) > 1e-6 {
			t.Errorf("label %d is cut off", i)
		}
		for k, b := range boxes {
			if i != k && overlap(a, b) > 0 {
				t.Errorf("labels %d and %d overlap", i, k)
			}
			if i != k && overlap(a, around(at[k], dotRadius)) > 0 {
				t.Errorf("label %d covers point %d", i, k)
			}
		}
	}
}

// canvasPoints are the places of marks on a plot of the usual size.
func canvasPoints(s scatter) ([]vg.Point, vg.Rectangle) {
	area := vg.Rectangle{Max: vg.Point{X: plotWidth - 80, Y: plotHeight - 60}}
	p := newScatterPlot("x", "y", s)
	at := make([]vg.Point, len(s))
	for i, m := range s {
		at[i] = vg.Point{X: area.Max.X * vg.Length(p.X.Norm(m.x)), Y: area.Max.Y * vg.Length(p.Y.Norm(m.y))}
	}
	return at, area
}
