package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// browsers are the names that Chromium goes by.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// findBrowser skips the test where there is no browser. It comes with the system, not with the set-up, so that a
// machine without one is no fault, under CI neither.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("no browser to look at the page with: none of %s is on PATH (Debian: apt-get install chromium)", strings.Join(browsers, ", "))
	return ""
}

// probe is put at the end of the page's copy that the browser opens: it tells what a reader would see.
const probe = `<script>
const wide = [...document.querySelectorAll("body *")].filter(e =>
  !e.closest(".scroll, svg") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
console.log("seen " + JSON.stringify({
  width: document.documentElement.clientWidth,
  scroll: document.documentElement.scrollWidth,
  wide: wide.map(e => e.tagName + " " + e.textContent.slice(0, 40)),
  headings: [...document.querySelectorAll("h2")].filter(e => e.getBoundingClientRect().height > 0).map(e => e.textContent),
  plots: [...document.querySelectorAll("svg")].filter(e => e.getBoundingClientRect().height > 40).length,
  requests: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
  paper: getComputedStyle(document.body).backgroundColor,
}));
</script>`

// seen is what the probe writes.
type seen struct {
	Width    int      `json:"width"`
	Scroll   int      `json:"scroll"`
	Wide     []string `json:"wide"`
	Headings []string `json:"headings"`
	Plots    int      `json:"plots"`
	Requests []string `json:"requests"`
	Paper    string   `json:"paper"`
}

func TestPageInBrowser(t *testing.T) {
	browser := findBrowser(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(written(t, samplePage())+probe), 0o666); err != nil {
		t.Fatal(err)
	}
	figures, err := samplePage().Figures()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		width int
		flags []string
		paper string
	}{
		{"phone", 390, nil, "rgb(255, 255, 254)"},
		{"desktop", 1280, nil, "rgb(255, 255, 254)"},
		{"dark", 390, []string{"--blink-settings=preferredColorScheme=0"}, "rgb(20, 24, 29)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, log := look(t, browser, dir, c.width, c.flags)
			if s.Width != c.width || s.Scroll > s.Width || len(s.Wide) > 0 {
				t.Errorf("the page is %d wide in a window of %d (%d); too wide: %q", s.Scroll, s.Width, c.width, s.Wide)
			}
			if !slices.Equal(s.Headings, sampleHeadings) {
				t.Errorf("headings %q, want %q", s.Headings, sampleHeadings)
			}
			if s.Plots != len(figures) {
				t.Errorf("%d plots are seen, want %d", s.Plots, len(figures))
			}
			if len(s.Requests) > 0 {
				t.Errorf("the page asks for %q", s.Requests)
			}
			if s.Paper != c.paper {
				t.Errorf("the background is %s, want %s", s.Paper, c.paper)
			}
			if strings.Contains(log, "CONSOLE") { // what the probe said is out of it
				t.Errorf("the browser's console says\n%s", log)
			}
		})
	}
}

// said is what the probe says on the console.
var said = regexp.MustCompile(`(?m)^.*CONSOLE.*"seen (\{.*\})", source: .*$`)

// look opens dir/page.html without a screen, in a frame of the width: a window cannot be as narrow as a phone. It returns
// what the probe saw and the rest of the browser's log.
func look(t *testing.T, browser, dir string, width int, flags []string) (s seen, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	frame := filepath.Join(dir, "frame.html")
	text := fmt.Sprintf(`<!DOCTYPE html><link rel="icon" href="data:,"><iframe src="page.html" style="border:0;width:%dpx;height:2000px"></iframe>`, width)
	if err := os.WriteFile(frame, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
		"--user-data-dir=" + t.TempDir(), fmt.Sprintf("--window-size=%d,2000", max(500, width+20)), "--dump-dom",
	}, flags...)
	cmd := exec.CommandContext(ctx, browser, append(args, "file://"+frame)...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", browser, err, errors.String())
	}
	found := said.FindStringSubmatch(errors.String())
	if found == nil {
		t.Fatalf("the probe said nothing: %s", errors.String())
	}
	if err := json.Unmarshal([]byte(found[1]), &s); err != nil {
		t.Fatalf("%v in %s", err, found[1])
	}
	return s, said.ReplaceAllString(errors.String(), "")
}
