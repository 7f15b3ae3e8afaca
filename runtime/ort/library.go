package ort

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// NativeDir is the folder of native libraries. It is set at link time
// (-X graft/runtime/ort.NativeDir=DIR); the environment variable GRAFT_NATIVE
// overrides it. Layout:
//
//	ort/libonnxruntime.so.<version>        the CPU library
//	openvino/libonnxruntime.so.<version>   the OpenVINO library
//	ort-cuda/libonnxruntime.so.<version>   the CUDA and TensorRT library
var NativeDir string

// LibraryEnv names the environment variable that gives the ONNX Runtime
// library by path; it then stands for every [Library].
const LibraryEnv = "GRAFT_ORT_LIBRARY"

// NativeEnv names the environment variable that overrides [NativeDir].
const NativeEnv = "GRAFT_NATIVE"

// apiVersion is the ORT_API_VERSION that the Go binding asks for: ONNX Runtime
// 1.24 is the oldest library that serves it.
const apiVersion = 24

// A Library is one build of ONNX Runtime.
type Library struct {
	Name string // "cpu", "openvino", "cuda"
	Dir  string // its folder under the native directory
	Doc  string
}

// libraries lists the builds that graft knows, in the order in which doctor
// prints them.
var libraries = []Library{
	{"cpu", "ort", "ONNX Runtime's own CPU kernels"},
	{"openvino", "openvino", "ONNX Runtime with Intel's OpenVINO (x86-64)"},
	{"cuda", "ort-cuda", "ONNX Runtime with CUDA and TensorRT"},
}

// Libraries returns the known builds of ONNX Runtime.
func Libraries() []Library { return append([]Library(nil), libraries...) }

func libraryNamed(name string) (Library, error) {
	var names []string
	for _, l := range libraries {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return Library{}, fmt.Errorf("unknown onnxruntime library %q (known: %s)", name, strings.Join(names, ", "))
}

// Native returns the folder of native libraries in force: the environment
// variable GRAFT_NATIVE, else NativeDir.
func Native() string {
	if dir := os.Getenv(NativeEnv); dir != "" {
		return dir
	}
	return NativeDir
}

// Path returns the library's file. The error says where it was looked for.
func (l Library) Path() (string, error) {
	if path := os.Getenv(LibraryEnv); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("onnxruntime library named by %s: %w", LibraryEnv, err)
		}
		return path, nil
	}
	root := Native()
	if root == "" {
		return "", fmt.Errorf("onnxruntime library %q: no native directory is set (run make setup, or set %s or %s)", l.Name, NativeEnv, LibraryEnv)
	}
	pattern := filepath.Join(root, l.Dir, libraryPattern)
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("onnxruntime library %q: %w", l.Name, err)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("onnxruntime library %q: %w: %s", l.Name, fs.ErrNotExist, pattern)
	}
	sort.Strings(found)
	return found[len(found)-1], nil
}

// libraryPattern matches the library's file name on this system.
var libraryPattern = map[string]string{
	"darwin": "libonnxruntime*.dylib",
	"linux":  "libonnxruntime.so*",
}[runtime.GOOS]

// loaded is the one library that this process has opened.
var loaded struct {
	sync.Mutex
	library Library
	path    string
}

// Load opens the named library ("cpu", "openvino", "cuda"). Loading it again
// does nothing; loading another one in the same process is an error.
func Load(name string) error {
	l, err := libraryNamed(name)
	if err != nil {
		return err
	}
	loaded.Lock()
	defer loaded.Unlock()
	path, err := l.Path()
	if err != nil {
		return err
	}
	if loaded.path != "" {
		if loaded.path == path {
			return nil
		}
		return fmt.Errorf("onnxruntime library %q (%s) cannot be opened: this process has opened %q (%s), and a process opens one", l.Name, path, loaded.library.Name, loaded.path)
	}
	defer keepSignals()()
	withoutTelemetry()
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("open onnxruntime library %s: %w", path, readable(err))
	}
	loaded.library, loaded.path = l, path
	return nil
}

// withoutTelemetry keeps ONNX Runtime, which from 1.29 on tells its maker of every session (its
// docs/Privacy.md), from doing so; whoever wants it sets the variable to 0. It is read when the
// library is opened.
func withoutTelemetry() {
	const variable = "ORT_DISABLE_TELEMETRY"
	if _, set := os.LookupEnv(variable); !set {
		os.Setenv(variable, "1")
	}
}

// Loaded returns the library that this process has opened, its file and its
// version; ok is false when there is none yet.
func Loaded() (l Library, path, version string, ok bool) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.path == "" {
		return Library{}, "", "", false
	}
	return loaded.library, loaded.path, ort.GetVersion(), true
}
