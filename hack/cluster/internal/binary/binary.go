// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package binary builds the cluster's programs from pinned Go modules and keeps them in the cache. A
// program's directory is named by everything that decides its bytes, so a hit needs no further check
// and a change of version never overwrites a binary that is running.
package binary

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/flock"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// Cache finds and builds programs.
type Cache struct {
	paths   paths.Paths
	console *console.Console
}

// NewCache returns the cache of the given paths; builds are announced on the console.
func NewCache(p paths.Paths, c *console.Console) Cache {
	return Cache{paths: p, console: c}
}

// Path returns the absolute path of one program, building it when it is absent.
func (c Cache) Path(ctx context.Context, name string) (string, error) {
	found, err := c.Ensure(ctx, name)
	if err != nil {
		return "", err
	}
	return found[name], nil
}

// Ensure returns the absolute path of each program, building those that are absent: the absent ones
// of one module in a single go build, which links them side by side.
func (c Cache) Ensure(ctx context.Context, names ...string) (map[string]string, error) {
	found := map[string]string{}
	for _, m := range modules {
		wanted := m.wanted(names)
		if len(wanted) == 0 {
			continue
		}
		dir, err := c.ensureModule(ctx, m, wanted)
		if err != nil {
			return nil, fmt.Errorf("building %s: %w", strings.Join(wanted, ", "), err)
		}
		for _, name := range wanted {
			found[name] = filepath.Join(dir, name)
		}
	}
	for _, name := range names {
		if found[name] == "" {
			return nil, fmt.Errorf("no program %q: have %s", name, strings.Join(Names(), ", "))
		}
	}
	return found, nil
}

// Names lists the programs the cache can build.
func Names() []string {
	var names []string
	for _, m := range modules {
		names = slices.AppendSeq(names, maps.Keys(m.programs))
	}
	slices.Sort(names)
	return names
}

// Assets returns a directory that holds the given programs and nothing else, as envtest wants them.
func (c Cache) Assets(ctx context.Context, names ...string) (string, error) {
	found, err := c.Ensure(ctx, names...)
	if err != nil {
		return "", err
	}
	key := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintln(key, found[name])
	}
	dir := c.paths.InCache("bin", "assets-"+shortHash(key.Sum(nil)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the assets directory: %w", err)
	}
	for name, path := range found {
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			return "", fmt.Errorf("linking %s: %w", name, err)
		}
	}
	return dir, nil
}

func (m module) wanted(names []string) []string {
	var wanted []string
	for _, name := range names {
		if _, ok := m.programs[name]; ok && !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	slices.Sort(wanted)
	return wanted
}

func (c Cache) ensureModule(ctx context.Context, m module, names []string) (string, error) {
	key, err := m.key(c.paths.Source)
	if err != nil {
		return "", err
	}
	dir := c.paths.InCache("bin", key)
	if len(missing(dir, names)) == 0 {
		return dir, nil
	}
	unlock, err := flock.Lock(c.paths.InCache("bin", key+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	absent := missing(dir, names)
	if len(absent) == 0 {
		return dir, nil
	}
	title := fmt.Sprintf("Building %s %s", strings.Join(absent, ", "), m.version)
	return dir, c.console.Step(title, func() error { return c.build(ctx, m, dir, absent) })
}

// build goes through a temporary directory, so that an interrupted build leaves no half-written binary
// under a name that counts as built.
func (c Cache) build(ctx context.Context, m module, dir string, names []string) error {
	fresh := filepath.Join(dir, ".new")
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return fmt.Errorf("making room: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }() // what is left is made anew by the next build
	log := c.paths.InCache("logs", "build-"+filepath.Base(m.dir)+".log")
	env := []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false"}
	args := append([]string{"-C", filepath.Join(c.paths.Source, m.dir)}, m.arguments(fresh, names)...)
	if err := command.Logged(ctx, log, env, "go", args...); err != nil {
		return err
	}
	for _, name := range names {
		built := filepath.Join(fresh, filepath.Base(m.output(name)))
		if err := os.Rename(built, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// arguments of go build. A single program is given its own name; several take the names go build
// gives them, the last elements of their packages.
func (m module) arguments(out string, names []string) []string {
	target := out + string(filepath.Separator)
	if len(m.programs) == 1 {
		target = filepath.Join(out, names[0])
	}
	args := append([]string{"build", "-o", target}, m.flags...)
	for _, name := range names {
		args = append(args, m.programs[name])
	}
	return args
}

func (m module) output(name string) string {
	if len(m.programs) == 1 {
		return name
	}
	return m.programs[name]
}

// key names a module's directory in the cache: what it is, its version and a hash of its sources,
// which include go.mod and go.sum, and of the flags.
func (m module) key(source string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, m.flags)
	files, err := filepath.Glob(filepath.Join(source, m.dir, "*"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("no sources in %s", filepath.Join(source, m.dir))
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		if err := hashFile(hash, file); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s-%s-%s", filepath.Base(m.dir), m.version, shortHash(hash.Sum(nil))), nil
}

func hashFile(hash io.Writer, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("hashing sources: %w", err)
	}
	fmt.Fprintln(hash, filepath.Base(file), len(content))
	_, err = hash.Write(content)
	return err
}

func shortHash(sum []byte) string { return hex.EncodeToString(sum)[:12] }

func missing(dir string, names []string) []string {
	var absent []string
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			absent = append(absent, name)
		}
	}
	return absent
}
