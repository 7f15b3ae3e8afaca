//go:build !lite

package loss_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"graft/train/loss"
	"graft/train/torch"
)

// cases are all objectives with all distillations, and what else can be set.
func cases() map[string]loss.Config {
	out := map[string]loss.Config{}
	for _, o := range loss.Objectives {
		for _, cosine := range []bool{true, false} {
			c := loss.Config{Objective: o.Name, Temperature: 0.3, Margin: 0.2, Normalize: cosine, DistillWeight: 0.7}
			name := fmt.Sprintf("%s cosine=%v", o.Name, cosine)
			out[name] = c
			m := c
			m.Dims, m.DimWeights = []int{2, 3, 5}, []float64{1, 0.5, 2}
			out[name+" matryoshka"] = m
			if o.PositivesOnly {
				continue
			}
			for _, d := range loss.Distillations {
				k := m
				k.Distill = d.Name
				out[name+" "+d.Name] = k
			}
		}
	}
	return out
}

func run(t *testing.T, c loss.Config, x *sample) (value float64, queries, passages []float32) {
	t.Helper()
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	l, err := loss.New(c, len(x.queries[0]))
	if err != nil {
		t.Fatal(err)
	}
	r := l.Run(s, x.input(s))
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	if queries, err = r.Queries.Float32s(); err != nil {
		t.Fatal(err)
	}
	if passages, err = r.Passages.Float32s(); err != nil {
		t.Fatal(err)
	}
	return r.Value, queries, passages
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > tolerance*(1+math.Abs(want[i])) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// Every objective's value and gradient are those of its definition, whether all queries are scored at once or some at a time.
func TestObjectives(t *testing.T) {
	for name, c := range cases() {
		t.Run(name, func(t *testing.T) {
			group := 3
			if c.Objective == "in-batch" {
				group = 1
			}
			x := newSample(7, 4, group, 5)
			plain := c
			if plain.Dims == nil {
				plain.Dims, plain.DimWeights = []int{5}, []float64{1}
			}
			if group > 1 {
				x.ignore = [][]int{{4, 2}, nil, {0}, {10, 1, 2}}
				x.ownGroup = []bool{false, false, true, false}
				x.same = [][]int{{0}, nil, {6, 2}, {9}}
			}
			if c.Distill == "score" { // of a teacher with vectors of another width
				x.teacherQueries, x.teacherPassages = newSample(8, 4, group, 7).queries, newSample(9, 4, group, 7).passages
			}
			want := x.plainLoss(plain)
			queries, passages := x.plainGradient(plain, x.queries), x.plainGradient(plain, x.passages)
			for _, rows := range []int{0, 1, 3} {
				c.Rows = rows
				value, q, p := run(t, c, x)
				near(t, "loss", []float32{float32(value)}, []float64{want}, 1e-5)
				near(t, "gradient of the queries", q, queries, 1e-4)
				near(t, "gradient of the passages", p, passages, 1e-4)
			}
		})
	}
}

func TestMaskedPassageHasNoGradient(t *testing.T) {
	x := newSample(3, 3, 2, 4)
	x.ignore = [][]int{{3}, nil, {3}}
	x.ownGroup = []bool{false, true, false} // only query 1 scores passage 3, its own negative
	c := loss.Config{Objective: "all-passages", Temperature: 0.02, Normalize: true}
	_, _, masked := run(t, c, x)
	x.ignore = [][]int{{3}, {3}, {3}}
	_, _, all := run(t, c, x)
	for j, v := range masked[3*4 : 4*4] {
		if v == 0 {
			t.Errorf("feature %d of a negative that counts has no gradient", j)
		}
		if all[3*4+j] != 0 {
			t.Errorf("feature %d of a passage that no query takes as a negative has the gradient %v", j, all[3*4+j])
		}
	}
}

// The loss stays float32 where the embeddings are not, and lives through scores that overflow the halves.
func TestHalfEmbeddings(t *testing.T) {
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	x := newSample(5, 4, 2, 8)
	for i := range x.queries {
		for j := range x.queries[i] {
			x.queries[i][j] *= 400
		}
	}
	l, err := loss.New(loss.Config{Objective: "all-passages"}, 8)
	if err != nil {
		t.Fatal(err)
	}
	in := x.input(s)
	in.Queries, in.Passages = s.To(in.Queries, torch.Float16), s.To(in.Passages, torch.Float16)
	r := l.Run(s, in)
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	want := x.plainLoss(loss.Config{Objective: "all-passages", Dims: []int{8}, DimWeights: []float64{1}})
	if math.Abs(r.Value-want) > 2e-3*want || r.Queries.DType() != torch.Float32 {
		t.Errorf("loss %v with gradient %v, want %v and float32", r.Value, r.Queries.DType(), want)
	}
}

func TestBadInput(t *testing.T) {
	l, err := loss.New(loss.Config{Objective: "all-passages", Temperature: 1, Normalize: true, Distill: "kl", DistillWeight: 1}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*loss.Input){
		"4 queries with 4 passages each": func(in *loss.Input) { in.Group = 4 },
		"needs a teacher's scores":       func(in *loss.Input) { in.Teacher = nil },
		"want [4, 3]":                    func(in *loss.Input) { in.Teacher = in.Queries },
		"masks are for 1 and 0 queries":  func(in *loss.Input) { in.Ignore = [][]int{nil} },
	} {
		s := torch.NewScope()
		in := newSample(1, 4, 3, 5).input(s)
		change(&in)
		if r := l.Run(s, in); r != nil || s.Err() == nil || !strings.Contains(s.Err().Error(), want) {
			t.Errorf("got %v, error %v; want one with %q", r, s.Err(), want)
		}
		s.Close()
	}
}

// A model that is its own teacher has nothing to learn.
func TestTeacherOfItself(t *testing.T) {
	for _, name := range []string{"embedding", "score"} {
		x := newSample(11, 4, 2, 6)
		x.teacherQueries, x.teacherPassages = x.queries, x.passages
		c := loss.Config{Objective: "all-passages", Temperature: 0.05, Normalize: true, Distill: name}
		value, queries, passages := run(t, c, x)
		if value != 0 {
			t.Errorf("%s: the loss is %g", name, value)
		}
		for _, g := range append(queries, passages...) {
			if math.Abs(float64(g)) > 1e-6 {
				t.Fatalf("%s: a gradient has the element %g", name, g)
			}
		}
	}
}

// A teacher's vectors that do not fit are refused.
func TestTeacherRefused(t *testing.T) {
	for want, c := range map[string]struct {
		distill string
		change  func(s *torch.Scope, in *loss.Input)
	}{
		"embedding needs a teacher's vectors": {"embedding", func(_ *torch.Scope, in *loss.Input) { in.TeacherPassages = nil }},
		"the teacher's vectors have 7 features, the model's 5": {"embedding", func(s *torch.Scope, in *loss.Input) {
			x := newSample(1, 4, 3, 7)
			in.TeacherQueries, in.TeacherPassages = tensor(s, x.queries), tensor(s, x.passages)
		}},
		"the teacher's vectors are":                        {"score", func(_ *torch.Scope, in *loss.Input) { in.TeacherQueries = in.TeacherPassages }},
		"texts that are the same are listed for 1 queries": {"score", func(_ *torch.Scope, in *loss.Input) { in.Same = [][]int{nil} }},
	} {
		l, err := loss.New(loss.Config{Objective: "in-batch", Temperature: 1, Normalize: true, Distill: c.distill}, 5)
		if err != nil {
			t.Fatal(err)
		}
		s := torch.NewScope()
		in := newSample(1, 4, 3, 5).input(s)
		c.change(s, &in)
		if r := l.Run(s, in); r != nil || s.Err() == nil || !strings.Contains(s.Err().Error(), want) {
			t.Errorf("got %v, error %v; want one with %q", r, s.Err(), want)
		}
		s.Close()
	}
}

// Nothing stays behind, also where an input is refused.
func TestNoTensorStays(t *testing.T) {
	before := torch.Live()
	for _, c := range cases() {
		group := 3
		if c.Objective == "in-batch" {
			group = 1
		}
		c.Rows = 2
		run(t, c, newSample(7, 4, group, 5))
	}
	if n := torch.Live() - before; n != 0 {
		t.Errorf("%d tensors are left", n)
	}
}
