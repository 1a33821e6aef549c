// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// kubelet is the half of the real one that plugins see.
type kubelet struct {
	v1beta1.UnimplementedRegistrationServer
	registered chan *v1beta1.RegisterRequest
}

func (k kubelet) Register(_ context.Context, request *v1beta1.RegisterRequest) (*v1beta1.Empty, error) {
	k.registered <- request
	return &v1beta1.Empty{}, nil
}

// startKubelet starts one as the real one starts: it first removes what an earlier one left.
func startKubelet(t *testing.T, dir string) (k kubelet, stop func()) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	k = kubelet{registered: make(chan *v1beta1.RegisterRequest, 1)}
	server := grpc.NewServer()
	v1beta1.RegisterRegistrationServer(server, k)
	go func() { _ = server.Serve(listener) }() // ends with the test
	t.Cleanup(server.Stop)
	return k, server.Stop
}

// start runs a plugin of four devices beside a kubelet's directory.
func start(t *testing.T, dir string) plugin {
	t.Helper()
	p := plugin{
		resource: "nvidia.com/gpu", devices: []string{"gpu-0", "gpu-1", "gpu-2", "gpu-3"}, variable: "NVIDIA_VISIBLE_DEVICES",
		unhealthy: t.TempDir(), sockets: dir,
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

// dial reaches the plugin as the kubelet does after a registration.
func dial(t *testing.T, k kubelet, dir string) v1beta1.DevicePluginClient {
	t.Helper()
	request := <-k.registered
	if request.GetVersion() != "v1beta1" || request.GetResourceName() != "nvidia.com/gpu" || !request.GetOptions().GetGetPreferredAllocationAvailable() {
		t.Errorf("registered as %v", request)
	}
	connection, err := grpc.NewClient("unix://"+filepath.Join(dir, request.GetEndpoint()), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() }) // nothing depends on it any more
	return v1beta1.NewDevicePluginClient(connection)
}

func watch(t *testing.T, client v1beta1.DevicePluginClient) func() []string {
	t.Helper()
	stream, err := client.ListAndWatch(t.Context(), &v1beta1.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		t.Helper()
		next, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, d := range next.GetDevices() {
			list = append(list, d.GetID()+" "+d.GetHealth())
		}
		return list
	}
}

func TestHealthChangesOnCommand(t *testing.T) {
	dir := t.TempDir()
	k, _ := startKubelet(t, dir)
	p := start(t, dir)
	next := watch(t, dial(t, k, dir))
	well := []string{"gpu-0 Healthy", "gpu-1 Healthy", "gpu-2 Healthy", "gpu-3 Healthy"}
	if got := next(); !slices.Equal(got, well) {
		t.Fatalf("at first %v", got)
	}
	file := filepath.Join(p.unhealthy, "gpu-2")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := next(); !slices.Equal(got, []string{"gpu-0 Healthy", "gpu-1 Healthy", "gpu-2 Unhealthy", "gpu-3 Healthy"}) {
		t.Fatalf("with one unhealthy %v", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := next(); !slices.Equal(got, well) {
		t.Fatalf("healthy again %v", got)
	}
}

func TestAContainerIsToldItsDevices(t *testing.T) {
	dir := t.TempDir()
	k, _ := startKubelet(t, dir)
	start(t, dir)
	client := dial(t, k, dir)
	ask := func(ids ...string) *v1beta1.AllocateRequest {
		return &v1beta1.AllocateRequest{ContainerRequests: []*v1beta1.ContainerAllocateRequest{{DevicesIds: ids}}}
	}
	got, err := client.Allocate(t.Context(), ask("gpu-3", "gpu-1"))
	if err != nil {
		t.Fatal(err)
	}
	if devices := got.GetContainerResponses()[0].GetEnvs()["NVIDIA_VISIBLE_DEVICES"]; devices != "gpu-1,gpu-3" {
		t.Errorf("the container is told %q", devices)
	}
	if _, err := client.Allocate(t.Context(), ask("gpu-9")); err == nil {
		t.Error("a device that is not there was allocated")
	}
}

func TestTheFirstFreeDevicesArePreferred(t *testing.T) {
	dir := t.TempDir()
	k, _ := startKubelet(t, dir)
	start(t, dir)
	got, err := dial(t, k, dir).GetPreferredAllocation(t.Context(), &v1beta1.PreferredAllocationRequest{
		ContainerRequests: []*v1beta1.ContainerPreferredAllocationRequest{{
			AvailableDeviceIDs: []string{"gpu-3", "gpu-2", "gpu-1"}, MustIncludeDeviceIDs: []string{"gpu-3"}, AllocationSize: 2,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if devices := got.GetContainerResponses()[0].GetDeviceIDs(); !slices.Equal(devices, []string{"gpu-3", "gpu-1"}) {
		t.Errorf("preferred %v", devices)
	}
}

func TestANewKubeletIsRegisteredWith(t *testing.T) {
	dir := t.TempDir()
	k, stop := startKubelet(t, dir)
	start(t, dir)
	dial(t, k, dir)
	stop()
	k, _ = startKubelet(t, dir)
	if got := watch(t, dial(t, k, dir))(); len(got) != 4 {
		t.Errorf("the new kubelet is told of %v", got)
	}
}
