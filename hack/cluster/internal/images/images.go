// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package images builds the repository's Dockerfiles without a container engine or a registry, and keeps
// them in the cache as archives. An archive is named by everything that decides it, so that a hit needs no
// build, and only the layers that changed are built again.
package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/binary"
	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/flock"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// suite of Debian the base is made of.
const suite = "bookworm"

// Cache finds and builds images.
type Cache struct {
	paths    paths.Paths
	console  *console.Console
	binaries binary.Cache
}

// NewCache returns the cache of the given paths.
func NewCache(p paths.Paths, c *console.Console, b binary.Cache) Cache {
	return Cache{paths: p, console: c, binaries: b}
}

// Image is a built image.
type Image struct {
	Name    string // docker.io/millrace/NAME:dev, as manifests have it
	Unique  string // the same repository with a tag of the content: a changed image has another
	Archive string // path of its docker-archive
}

// Names lists the images that can be built, the base of the others aside.
func Names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(table)), func(name string) bool { return name == base })
}

// Ensure returns an image, building it, and what it starts from, when the cache has none of this content.
func (c Cache) Ensure(ctx context.Context, name string) (Image, error) {
	i, ok := table[name]
	if !ok {
		return Image{}, fmt.Errorf("no image %q: have %s", name, strings.Join(Names(), ", "))
	}
	sources, err := c.sources(ctx, i)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", name, err)
	}
	key, err := c.key(name, i, sources)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", name, err)
	}
	built := Image{
		Name: repository(name) + ":" + tag(name), Unique: repository(name) + ":" + tag(name) + "-" + key,
		Archive: c.paths.InCache("images", name+"-"+key+".tar"),
	}
	unlock, err := flock.Lock(c.paths.InCache("images", name+".lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if _, err := os.Stat(built.Archive); err == nil {
		return built, nil
	}
	return built, c.console.Step("Building image "+name, func() error { return c.make(ctx, name, sources, built) })
}

// sources are the files an image is built from: name in its build context -> path.
func (c Cache) sources(ctx context.Context, i image) (map[string]string, error) {
	sources := map[string]string{"Dockerfile": filepath.Join(c.paths.Repo, i.dockerfile)}
	for _, program := range i.programs {
		path, err := c.binaries.Path(ctx, program)
		if err != nil {
			return nil, err
		}
		sources[program] = path
	}
	files, err := c.files(i)
	for _, file := range files {
		sources[file] = filepath.Join(c.paths.Repo, i.context, file)
	}
	return sources, err
}

func (c Cache) files(i image) ([]string, error) {
	if i.context == "" || len(i.files) > 0 {
		return i.files, nil
	}
	var files []string
	err := fs.WalkDir(os.DirFS(filepath.Join(c.paths.Repo, i.context)), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// key is a hash of an image's sources and of its parent's.
func (c Cache) key(name string, i image, sources map[string]string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, name, suite)
	for _, file := range slices.Sorted(maps.Keys(sources)) {
		if err := hashFile(sum, file, sources[file]); err != nil {
			return "", err
		}
	}
	if i.parent != "" {
		parent := table[i.parent]
		key, err := c.key(i.parent, parent, map[string]string{"Dockerfile": filepath.Join(c.paths.Repo, parent.dockerfile)})
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, key)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

func hashFile(sum hash.Hash, name, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Fprintln(sum, name, len(content))
	_, err = sum.Write(content)
	return err
}

// make builds an image and stores its archive. Older archives of it go: nothing would ever remove them.
func (c Cache) make(ctx context.Context, name string, sources map[string]string, built Image) error {
	if parent := table[name].parent; parent != "" {
		if err := c.restore(ctx, parent); err != nil {
			return err
		}
	}
	context, err := os.MkdirTemp(c.paths.InCache("images"), "context-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(context) }() // a left-over is only disk space
	if name == base {
		sources["base.tar"] = filepath.Join(context, "base.tar")
		if err := c.debootstrap(ctx, sources["base.tar"]); err != nil {
			return err
		}
	}
	if err := gather(context, sources); err != nil {
		return err
	}
	log := c.paths.InCache("logs", "image-"+name+".log")
	if err := c.buildah(ctx, log, "bud", "--layers", "--isolation", "chroot", "--network", "host", "--pull-never",
		"--tag", built.Name, context); err != nil {
		return err
	}
	old, err := filepath.Glob(c.paths.InCache("images", name+"-*.tar"))
	if err != nil {
		return err
	}
	fresh := built.Archive + ".new"
	if err := c.buildah(ctx, log, "push", built.Name, "docker-archive:"+fresh+":"+built.Name); err != nil {
		return err
	}
	for _, archive := range old {
		if err := os.Remove(archive); err != nil {
			return err
		}
	}
	return os.Rename(fresh, built.Archive)
}

// restore brings a parent into buildah's store, where a Dockerfile's FROM looks for it.
func (c Cache) restore(ctx context.Context, name string) error {
	parent, err := c.Ensure(ctx, name)
	if err != nil {
		return err
	}
	log := c.paths.InCache("logs", "image-"+name+".log")
	if c.buildah(ctx, log, "inspect", "--type", "image", parent.Name) == nil {
		return nil
	}
	return c.buildah(ctx, log, "pull", "docker-archive:"+parent.Archive)
}

func (c Cache) buildah(ctx context.Context, log string, args ...string) error {
	store := []string{"--storage-driver", "overlay", "--root", c.paths.InCache("buildah"), "--runroot", c.paths.InCache("buildah-run")}
	return command.Logged(ctx, log, nil, "buildah", append(store, args...)...)
}

// debootstrap makes the file system of the base image from the machine's own package mirror.
func (c Cache) debootstrap(ctx context.Context, file string) error {
	log := c.paths.InCache("logs", "mmdebstrap.log")
	return command.Logged(ctx, log, nil, "mmdebstrap", "--variant=apt", "--include=ca-certificates", suite, file)
}

// gather copies the sources into a build context of their own, so that nothing else of the checkout is read.
func gather(context string, sources map[string]string) error {
	for file, path := range sources {
		target := filepath.Join(context, file)
		if target == path {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, content, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}
