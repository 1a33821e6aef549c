// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/millrace-ml/millrace/hack/cluster/internal/binary"
	"github.com/millrace-ml/millrace/hack/cluster/internal/cluster"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/elsewhere"
	"github.com/millrace-ml/millrace/hack/cluster/internal/images"
	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// target is a cluster to work with.
type target interface {
	Up(ctx context.Context, asked options.Options) error
	Down(ctx context.Context) error
	Status(ctx context.Context, out io.Writer) (healthy bool, err error)
	Load(ctx context.Context, image string) (name string, err error)
	Kubeconfig() string
}

// program is what every command works with.
type program struct {
	binaries binary.Cache
	images   images.Cache
	target   target
	gpus     cluster.GPUs
	stdout   io.Writer
}

type command struct {
	name, arguments, help string
	least, most           int // number of arguments
	run                   func(context.Context, program, []string) error
}

var commands = []command{
	{"up", "[OPTION=VALUE ...]", "start the cluster, or what of it does not run; options: NODES, GPUS, DRA, GATES", 0, 4, up},
	{"down", "", "stop the cluster and leave nothing behind but the cache", 0, 0, down},
	{"status", "", "list the cluster's processes and their logs", 0, 0, status},
	{"load", "IMAGE", "build an image when absent and give it to the cluster; print its name, unique to its content", 1, 1, load},
	{"kubeconfig", "", "print the path of the kubeconfig", 0, 0, kubeconfig},
	{"image", "IMAGE", "build an image when absent; print the path of its archive", 1, 1, image},
	{"bin", "NAME", "print the path of one program, building it when absent", 1, 1, bin},
	{"gpu", "INDEX STATE", "make a simulated GPU of the local node healthy or unhealthy", 2, 2, gpu},
	{"assets", "", "build kube-apiserver, etcd and kubectl; print their directory for envtest", 0, 0, assets},
}

func newProgram(getenv func(string) string) (program, error) {
	where, err := paths.FromEnvironment(getenv)
	if err != nil {
		return program{}, err
	}
	terminal := console.New(os.Stderr)
	binaries := binary.NewCache(where, terminal)
	p := program{binaries: binaries, images: images.NewCache(where, terminal, binaries), gpus: cluster.GPUsOf(where), stdout: os.Stdout}
	kubeconfig := getenv("KUBECONFIG")
	switch kind := cmp.Or(getenv("CLUSTER"), defaultKind(kubeconfig)); kind {
	case "local":
		p.target = cluster.New(where, terminal, binaries, p.images)
	case "existing":
		file := cmp.Or(kubeconfig, filepath.Join(getenv("HOME"), ".kube", "config"))
		p.target = elsewhere.Existing{File: file, Image: getenv("IMAGE"), Console: terminal, Binaries: binaries}
	case "kind":
		p.target = elsewhere.Kind{File: where.Kubeconfig(), Repo: where.Repo, Console: terminal}
	default:
		return program{}, fmt.Errorf("CLUSTER=%s: must be local, existing or kind", kind)
	}
	return p, nil
}

// defaultKind is the person's own cluster, if there is a KUBECONFIG that says so.
func defaultKind(kubeconfig string) string {
	if kubeconfig != "" {
		return "existing"
	}
	return "local"
}

func up(ctx context.Context, p program, args []string) error {
	asked, err := options.Parse(args)
	if err != nil {
		return fmt.Errorf("%w: cluster up: %w", errUsage, err)
	}
	return p.target.Up(ctx, asked)
}

func gpu(_ context.Context, p program, args []string) error {
	healthy, known := map[string]bool{"healthy": true, "unhealthy": false}[args[1]]
	if !known {
		return fmt.Errorf("%w: cluster gpu INDEX healthy|unhealthy", errUsage)
	}
	return p.gpus.Set(args[0], healthy)
}

func down(ctx context.Context, p program, _ []string) error { return p.target.Down(ctx) }

func status(ctx context.Context, p program, _ []string) error {
	healthy, err := p.target.Status(ctx, p.stdout)
	if err == nil && !healthy {
		return errors.New("not all of the cluster is ready; `make up` starts what is not")
	}
	return err
}

func load(ctx context.Context, p program, args []string) error {
	return p.print(p.target.Load(ctx, args[0]))
}

func kubeconfig(_ context.Context, p program, _ []string) error {
	return p.print(p.target.Kubeconfig(), nil)
}

func image(ctx context.Context, p program, args []string) error {
	built, err := p.images.Ensure(ctx, args[0])
	return p.print(built.Archive, err)
}

func bin(ctx context.Context, p program, args []string) error {
	return p.print(p.binaries.Path(ctx, args[0]))
}

func assets(ctx context.Context, p program, _ []string) error {
	return p.print(p.binaries.Assets(ctx, "kube-apiserver", "etcd", "kubectl"))
}

func (p program) print(line string, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, line)
	return err
}
