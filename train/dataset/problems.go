package dataset

import (
	"fmt"
	"strings"
)

// maxProblems is how many problems of the data are told.
const maxProblems = 20

// Problems is several things that are wrong with the data.
type Problems struct {
	First []error // *lines.Error; at most 20
	Count int     // of all
}

func (p *Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems", p.Count)
	for _, err := range p.First {
		fmt.Fprintf(&b, "\n  %v", err)
	}
	if more := p.Count - len(p.First); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

func (p *Problems) Unwrap() []error { return p.First }

// problemList collects problems.
type problemList struct {
	first []error
	count int
}

func (p *problemList) add(err error) {
	if p.count++; len(p.first) < maxProblems {
		p.first = append(p.first, err)
	}
}

// err is nil without problems, the problem where there is one, and else Problems.
func (p *problemList) err() error {
	switch p.count {
	case 0:
		return nil
	case 1:
		return p.first[0]
	}
	return &Problems{p.first, p.count}
}
