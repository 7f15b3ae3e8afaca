//go:build !lite

package loss_test

import (
	"math"
	"math/rand/v2"
	"slices"

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
