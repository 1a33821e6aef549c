// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// The simulated GPUs of the real node: counted ones come from a device plugin, those of claims from a driver of dynamic
// resource allocation. Both take a device for unhealthy while there is a file of its name.
const (
	gpuResource = "nvidia.com/gpu"
	claimDriver = "gpu.millrace.dev"
)

// GPUs is the health of the simulated GPUs of the real node.
type GPUs struct{ paths paths.Paths }

// GPUsOf are those of the cluster of a state directory.
func GPUsOf(p paths.Paths) GPUs { return GPUs{p} }

func (g GPUs) unhealthy() string { return g.paths.InState("gpus", "unhealthy") }

// count is how many GPUs the node has, of the kind that it has more of.
func (g GPUs) count() (int, error) {
	saved, err := options.Load(optionsFile(g.paths))
	return max(saved.Count(options.GPUs), saved.Count(options.DRA)), err
}

// Set makes a GPU healthy or unhealthy, which the kubelet learns within a second.
func (g GPUs) Set(index string, healthy bool) error {
	count, err := g.count()
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(index); err != nil || n < 0 || n >= count || strconv.Itoa(n) != index {
		return fmt.Errorf("no GPU %q: the node has %d, counted from 0; make up GPUS=4 gives it four", index, count)
	}
	file := filepath.Join(g.unhealthy(), "gpu-"+index)
	if !healthy {
		return writeFile(file, "unhealthy\n")
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (c *Cluster) devicePluginArgs() []string {
	return []string{
		"-resource", gpuResource, "-count", strconv.Itoa(c.options.Count(options.GPUs)), "-unhealthy", GPUsOf(c.paths).unhealthy(),
	}
}

func (c *Cluster) draArgs(kubeconfig string) []string {
	return []string{
		"-kubeconfig", kubeconfig, "-node", nodeName, "-driver", claimDriver, "-count", strconv.Itoa(c.options.Count(options.DRA)),
		"-unhealthy", GPUsOf(c.paths).unhealthy(), "-kubelet", c.paths.InState("kubelet"), "-cdi", c.paths.InState("run", "cdi"),
	}
}

// gpuNode is the real node and its counted GPUs.
type gpuNode struct {
	Name  string
	Count int
}

// describeDevices labels the node for its GPUs, and makes the class of those that are claimed.
func (c *Cluster) describeDevices(ctx context.Context) error {
	const labels, class = "gpu-labels", "device-class"
	if count := c.options.Count(options.GPUs); count > 0 || c.applied(labels) {
		text, err := render("addons/gpus.yaml", gpuNode{Name: nodeName, Count: count})
		if err != nil {
			return err
		}
		if err := c.applyChanged(ctx, labels, text); err != nil {
			return fmt.Errorf("labelling the node: %w", err)
		}
	}
	if c.options.Count(options.DRA) == 0 {
		return nil
	}
	text, err := render("addons/claims.yaml", c.settings)
	if err != nil {
		return err
	}
	if err := c.applyChanged(ctx, class, text); err != nil {
		return fmt.Errorf("making the device class: %w", err)
	}
	return nil
}

// capacityProbe is ready when the node has so many of a resource, healthy or not.
func (c *Cluster) capacityProbe(resource string, count int) probe {
	return func(ctx context.Context, client *http.Client) error {
		var node struct {
			Status struct{ Capacity map[string]string }
		}
		if err := getJSON(ctx, client, "/api/v1/nodes/"+nodeName, &node); err != nil {
			return err
		}
		if has := node.Status.Capacity[resource]; has != strconv.Itoa(count) {
			return fmt.Errorf("the node has %q of %s, not %d", has, resource, count)
		}
		return nil
	}
}

// slicesProbe is ready when the driver of claims offers so many devices.
func (c *Cluster) slicesProbe(count int) probe {
	return func(ctx context.Context, client *http.Client) error {
		var slices struct {
			Items []struct {
				Spec struct{ Devices []struct{ Name string } }
			}
		}
		const path = "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.driver%3D" + claimDriver
		if err := getJSON(ctx, client, path, &slices); err != nil {
			return err
		}
		offered := 0
		for _, s := range slices.Items {
			offered += len(s.Spec.Devices)
		}
		if offered != count {
			return fmt.Errorf("%s offers %d devices, not %d", claimDriver, offered, count)
		}
		return nil
	}
}
