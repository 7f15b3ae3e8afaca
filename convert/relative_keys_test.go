package convert

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// Every distance has the row of DeBERTa's table that the library takes, the farthest that is listed and those beyond included.
func TestRelativeRows(t *testing.T) {
	raw, err := os.ReadFile("../testdata/models/deberta_distances.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Buckets, Distance int
		Rows              []int64 // for each distance from -len/2 to len/2
	}
	if err := json.Unmarshal(raw, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.Buckets, c.Distance), func(t *testing.T) {
			span := c.Distance
			if c.Buckets > 0 {
				span = c.Buckets
			}
			rows := relativeRows(c.Buckets, c.Distance, span)
			for i, want := range c.Rows {
				behind := i - len(c.Rows)/2
				near := min(max(behind, -c.Distance), c.Distance)
				if got := rows[near+c.Distance]; got != want {
					t.Errorf("distance %d: row %d, want %d", behind, got, want)
				}
			}
		})
	}
}
