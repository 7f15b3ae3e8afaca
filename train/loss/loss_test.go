//go:build !lite

package loss_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"graft/train/loss"
	"graft/train/torch"
)

// sample is a batch in float64, for plain computation.
type sample struct {
	queries, passages [][]float64 // [B][d], [B*group][d]
	group             int
	teacher           [][]float64 // [B][group]
	ignore            [][]int
	ownGroup          []bool

	teacherQueries, teacherPassages [][]float64 // [B][any], [B*group][the same]
	same                            [][]int
}

func newSample(seed uint64, b, g, d int) *sample {
	r := rand.New(rand.NewPCG(seed, 0))
	matrix := func(n, d int) [][]float64 {
		m := make([][]float64, n)
		for i := range m {
			m[i] = make([]float64, d)
			for j := range m[i] {
				m[i][j] = float64(float32(r.NormFloat64()))
			}
		}
		return m
	}
	return &sample{queries: matrix(b, d), passages: matrix(b*g, d), group: g, teacher: matrix(b, g),
		teacherQueries: matrix(b, d), teacherPassages: matrix(b*g, d)}
}

// plainLoss is the definition of every objective, without a thought of speed.
func (x *sample) plainLoss(c loss.Config) float64 {
	total := 0.0
	for k, d := range c.Dims {
		for i := range x.queries {
			total += c.DimWeights[k] * x.plainRow(c, i, d) / float64(len(x.queries))
		}
	}
	return total
}

func (x *sample) plainRow(c loss.Config, i, d int) float64 {
	switch c.Distill {
	case "embedding":
		return x.plainDistance(i, d)
	case "score":
		return x.plainRelations(c, i, d)
	}
	score := func(p int) float64 {
		q, v := x.queries[i][:d], x.passages[p][:d]
		dot, temperature := product(q, v), 1.0
		if c.Normalize {
			dot, temperature = cosine(q, v), c.Temperature
		}
		if p == i*x.group && c.Objective == "in-batch" {
			dot -= c.Margin
		}
		return dot / temperature
	}
	ignored := map[int]bool{}
	if x.ignore != nil {
		for _, p := range x.ignore[i] {
			ignored[p] = true
		}
	}
	own := func(p int) bool { return p/x.group == i }
	var objective, sum float64
	for p := range x.passages {
		if ignored[p] || !own(p) && (c.Objective == "own-group" || x.ownGroup != nil && x.ownGroup[i]) {
			continue
		}
		sum += math.Exp(score(p) - score(i*x.group))
	}
	objective = math.Log(sum)
	if c.Distill == "" {
		return objective
	}
	var teacher, student, mse float64
	for j := range x.group {
		teacher += math.Exp(x.teacher[i][j])
		student += math.Exp(score(i*x.group + j))
	}
	kl := 0.0
	for j := range x.group {
		kl -= math.Exp(x.teacher[i][j]) / teacher * (score(i*x.group+j) - math.Log(student))
		miss := score(i*x.group) - score(i*x.group+j) - (x.teacher[i][0] - x.teacher[i][j])
		mse += miss * miss / float64(x.group-1)
	}
	if c.Distill == "margin-mse" {
		return mse
	}
	return objective + c.DistillWeight*kl
}

func product(a, b []float64) float64 {
	sum := 0.0
	for j := range a {
		sum += a[j] * b[j]
	}
	return sum
}

func cosine(a, b []float64) float64 { return product(a, b) / math.Sqrt(product(a, a)*product(b, b)) }

// plainDistance is 1 - cosine to the teacher's vectors, the mean of query i and its passages.
func (x *sample) plainDistance(i, d int) float64 {
	sum := 1 - cosine(x.queries[i][:d], x.teacherQueries[i][:d])
	for p := i * x.group; p < (i+1)*x.group; p++ {
		sum += 1 - cosine(x.passages[p][:d], x.teacherPassages[p][:d])
	}
	return sum / float64(1+x.group)
}

// plainRelations is the divergence of query i's distributions over the passages that are not its own text.
func (x *sample) plainRelations(c loss.Config, i, d int) float64 {
	distribution := func(query []float64, passages [][]float64, d int) []float64 {
		p, sum := make([]float64, len(passages)), 0.0
		for j, v := range passages {
			if x.same != nil && slices.Contains(x.same[i], j) {
				continue
			}
			if c.Normalize {
				p[j] = math.Exp(cosine(query[:d], v[:d]) / c.Temperature)
			} else {
				p[j] = math.Exp(product(query[:d], v[:d]))
			}
			sum += p[j]
		}
		for j := range p {
			p[j] /= sum
		}
		return p
	}
	teacher := distribution(x.teacherQueries[i], x.teacherPassages, len(x.teacherQueries[i]))
	student := distribution(x.queries[i], x.passages, d)
	divergence := 0.0
	for j, p := range teacher {
		if p > 0 {
			divergence += p * math.Log(p/student[j])
		}
	}
	return divergence
}

// plainGradient is the central difference of plainLoss for each element of m.
func (x *sample) plainGradient(c loss.Config, m [][]float64) []float64 {
	const h = 1e-5
	var out []float64
	for i := range m {
		for j := range m[i] {
			v := m[i][j]
			m[i][j] = v + h
			up := x.plainLoss(c)
			m[i][j] = v - h
			down := x.plainLoss(c)
			m[i][j] = v
			out = append(out, (up-down)/(2*h))
		}
	}
	return out
}

func flat(m [][]float64) []float32 {
	var out []float32
	for _, row := range m {
		for _, v := range row {
			out = append(out, float32(v))
		}
	}
	return out
}

func tensor(s *torch.Scope, m [][]float64) *torch.Tensor {
	return s.Float32s(flat(m), int64(len(m)), int64(len(m[0])))
}

func (x *sample) input(s *torch.Scope) loss.Input {
	return loss.Input{
		Queries: tensor(s, x.queries), Passages: tensor(s, x.passages), Group: x.group,
		Teacher: tensor(s, x.teacher), Ignore: x.ignore, OwnGroup: x.ownGroup, Same: x.same,
		TeacherQueries: tensor(s, x.teacherQueries), TeacherPassages: tensor(s, x.teacherPassages),
	}
}

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
