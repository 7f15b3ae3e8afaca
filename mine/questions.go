package mine

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"graft/evaluate"
	"graft/train/dataset"
)

// questions are the distinct queries of the rows. Rows of the same query share what is known of it: a positive of one is
// no negative of the other.
type questions struct {
	all   []question
	ofRow []uint32 // question of each row, in the order of the rows
}

// question is a query and its passages. Scores are by the model that mines until a teacher replaces them.
type question struct {
	text     string
	prompt   *string // in the model's prompt's place; nil: its row has none
	positive []scored
	negative []scored // mined
	excluded []position
}

// scored is a passage and its score for a question.
type scored struct {
	passage position
	score   float32
}

// readQuestions reads the queries and adds to the pool, behind the candidates, what positives are none of them.
func readQuestions(ctx context.Context, rows *dataset.Set, p *pool) (*questions, error) {
	q := &questions{}
	at := map[digest]uint32{}
	for row, err := range rows.Rows(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		d := digestOf(row.Query)
		if row.Prompt != nil {
			d = digestOf(*row.Prompt + "\x00" + row.Query)
		}
		i, known := at[d]
		if !known {
			i = uint32(len(q.all))
			at[d] = i
			q.all = append(q.all, question{text: row.Query, prompt: row.Prompt})
			if same, ok := p.at[digestOf(row.Query)]; ok {
				q.all[i].excluded = append(q.all[i].excluded, same)
			}
		}
		if err := q.all[i].addPositives(row.Pos, p); err != nil {
			return nil, err
		}
		q.ofRow = append(q.ofRow, i)
	}
	return q, nil
}

func (q *question) addPositives(texts []string, p *pool) error {
	for _, text := range texts {
		passage, err := p.add(text)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(q.positive, func(s scored) bool { return s.passage == passage }) {
			q.positive = append(q.positive, scored{passage: passage})
			q.excluded = append(q.excluded, passage)
		}
	}
	return nil
}

// texts are the queries with a model's prompt, or their own, before them.
func (q *questions) texts(prompt string) []evaluate.Query {
	texts := make([]evaluate.Query, len(q.all))
	for i, one := range q.all {
		before := prompt
		if one.prompt != nil {
			before = *one.prompt
		}
		texts[i] = evaluate.Query{ID: strconv.Itoa(i), Text: before + one.text}
	}
	return texts
}

// watched is which scores are wanted of a passage.
type watched struct {
	wanted map[position][]want
	only   []position // the passages of the stream; nil: the pool in its order
}

type want struct {
	question int
	score    *float32
}

func (w *watched) add(question int, list []scored) {
	for i := range list {
		s := &list[i]
		w.wanted[s.passage] = append(w.wanted[s.passage], want{question, &s.score})
	}
}

// positives watches for the positives of all questions.
func (q *questions) positives() *watched {
	w := &watched{wanted: map[position][]want{}}
	for i := range q.all {
		w.add(i, q.all[i].positive)
	}
	return w
}

// take is evaluate.SearchOptions.Seen.
func (w *watched) take(first int, documents, queries evaluate.Matrix) error {
	for i := range documents.Rows {
		at := position(first + i)
		if w.only != nil {
			at = w.only[first+i]
		}
		for _, want := range w.wanted[at] {
			*want.score = dot(queries.Row(want.question), documents.Row(i))
		}
	}
	return nil
}

func dot(a, b []float32) float32 {
	sum := 0.0
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return float32(sum)
}

// scoreByTeacher replaces the scores of positives and mined negatives by those of the teacher.
func (o *Options) scoreByTeacher(ctx context.Context, q *questions, p *pool) error {
	w := q.positives()
	for i := range q.all {
		w.add(i, q.all[i].negative)
	}
	w.only = make([]position, 0, len(w.wanted))
	for at := range w.wanted {
		w.only = append(w.only, at)
	}
	slices.Sort(w.only)
	_, err := evaluate.Search(ctx, evaluate.SearchOptions{
		Queries: q.texts(o.TeacherQueryPrompt), Documents: p.documents(w.only), DocumentCount: len(w.only), Seen: w.take,
		Encoder: o.Teacher, Similarity: o.TeacherSimilarity, TopK: 1, MemoryBudget: o.MemoryBudget, Progress: o.Progress,
	})
	return err
}
