package lines

import (
	"testing"
)

func TestUnmarshal(t *testing.T) {
	type inner struct {
		Eps float64 `json:"eps"`
	}
	var v struct {
		Text   *string  `json:"text"`
		Hidden int      `json:"hidden_size"`
		Tied   bool     `json:"tied"`
		List   []string `json:"list"`
		Inner  inner    `json:"inner"`
	}
	for text, want := range map[string]string{
		`{"text": "a", "hidden_size": 3, "tied": true}`: "",
		`["a"]`:                     `have a list, want an object`,
		`"a"`:                       `have a text, want an object`,
		`{"text": 3}`:               `field "text": have a number, want a text`,
		`{"text": {}}`:              `field "text": have an object, want a text`,
		`{"hidden_size": "32"}`:     `field "hidden_size": have a text, want a whole number`,
		`{"hidden_size": 2.5}`:      `field "hidden_size": have 2.5, want a whole number`,
		`{"tied": 1}`:               `field "tied": have a number, want true or false`,
		`{"list": {}}`:              `field "list": have an object, want a list`,
		`{"inner": {"eps": "1e5"}}`: `field "inner.eps": have a text, want a number`,
		`{"text"`:                   `unexpected end of JSON input`,
	} {
		got := ""
		if err := Unmarshal([]byte(text), &v); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
