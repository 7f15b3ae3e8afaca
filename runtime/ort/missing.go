package ort

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// advice says how to get a shared library that is missing, by the start of
// its name.
var advice = []struct{ prefix, how string }{
	{"libcuda.so", "install the NVIDIA driver"},
	{"libnvinfer", "install TensorRT 10 and add its lib folder to LD_LIBRARY_PATH"},
	{"libnvonnxparser", "install TensorRT 10 and add its lib folder to LD_LIBRARY_PATH"},
	{"libcu", "run make setup DEVICE=cuda, or install CUDA 13"},
	{"libonnxruntime_providers_cuda", "run make setup DEVICE=cuda"},
	{"libonnxruntime_providers_tensorrt", "run make setup DEVICE=cuda"},
	{"libonnxruntime_providers_openvino", "run make setup (the OpenVINO build is for x86-64)"},
}

// Missing returns, by name, the shared libraries that the provider needs and
// that cannot be opened here, each with the way to get it. It is empty when
// nothing is missing. NVIDIA's libraries under the native directory are opened
// on the way, so that the provider finds them.
func (p Provider) Missing() []error {
	if p.Library == "" {
		return nil
	}
	l, err := libraryNamed(p.Library)
	if err != nil {
		return []error{err}
	}
	path, err := l.Path()
	if errors.Is(err, fs.ErrNotExist) {
		return []error{missingLibrary(p.file, err)}
	}
	if err != nil {
		return []error{err}
	}
	file := filepath.Join(filepath.Dir(path), p.file)
	needs, err := needed(file)
	if errors.Is(err, fs.ErrNotExist) {
		return []error{missingLibrary(p.file, fmt.Errorf("not in %s", filepath.Dir(path)))}
	}
	if err != nil {
		return []error{fmt.Errorf("%s: %w", file, err)}
	}
	vendor := vendorFolders(Native())
	var missing []error
	for _, name := range needs {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err == nil {
			continue // beside the provider, which looks there itself
		}
		if err := openFrom(vendor, name); err != nil {
			missing = append(missing, missingLibrary(name, err))
		}
	}
	for _, name := range p.lazy {
		openFrom(vendor, name) // models that do not need it run without
	}
	return missing
}

func missingLibrary(name string, cause error) error {
	for _, a := range advice {
		if strings.HasPrefix(name, a.prefix) {
			return fmt.Errorf("%s is missing (%s): %w", name, a.how, cause)
		}
	}
	return fmt.Errorf("%s is missing: %w", name, cause)
}

// needed lists the shared libraries that a shared library asks for.
func needed(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	kept := names[:0]
	for _, n := range names {
		if !strings.HasPrefix(n, "ld-linux") && !strings.HasPrefix(n, "libonnxruntime") {
			kept = append(kept, n)
		}
	}
	return kept, nil
}

// openFrom opens a shared library out of the first folder that holds it, else
// by the system's search.
func openFrom(folders []string, name string) error {
	for _, dir := range folders {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			return openShared(file)
		}
	}
	return openShared(name)
}

// vendorFolders lists the folders of NVIDIA's wheels under root:
// <root>/…/nvidia/<part>/lib, CUDA's runtime first, because the others need it.
func vendorFolders(root string) []string {
	if root == "" {
		return nil
	}
	var dirs []string
	for _, pattern := range []string{"nvidia/*/lib", "*/nvidia/*/lib"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // a bad pattern is the only error
		dirs = append(dirs, found...)
	}
	return dirs
}

// check returns an error that names all that a provider misses.
func (p Provider) check() error {
	missing := p.Missing()
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("provider %s cannot run here: %w", p.Name, errors.Join(missing...))
}
