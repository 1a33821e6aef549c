// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// The cluster's networks. The node's address lives on the cluster's own bridge, so nothing here listens
// on, or depends on, a network of the machine.
const (
	nodeName      = "millrace"
	bridge        = "millrace0"
	nodeLink      = "millrace-node"
	nodeIP        = "10.245.0.1"
	podCIDR       = "10.244.0.0/16"
	podGateway    = "10.244.0.1"
	serviceCIDR   = "10.96.0.0/16"
	apiServiceIP  = "10.96.0.1"
	dnsIP         = "10.96.0.10"
	simulatedCIDR = "10.246.0.1/16" // of pods on simulated nodes, which no packet ever reaches
	server        = "https://" + nodeIP + ":6443"
	cgroupRoot    = "/millrace"
)

// settings is what the templates are rendered with: constants above, and facts about the machine.
type settings struct {
	State, PKI                             string
	NodeName, NodeIP, DNS, Bridge, PodCIDR string
	Gateway, SimulatedCIDR, CgroupRoot     string
	PauseImage, CoreDNSImage               string
	Runc, Snapshotter, ResolvConf          string
	MTU                                    int
	AppArmor, ForwardDNS                   bool
	ConfigHash                             string
}

func detect(p paths.Paths) settings {
	resolvConf := hostResolvConf()
	runc, err := exec.LookPath("runc")
	if err != nil {
		runc = "/usr/sbin/runc" // where Debian puts it; prerequisites say when it is absent
	}
	return settings{
		State: p.State, PKI: p.InState("pki"),
		NodeName: nodeName, NodeIP: nodeIP, DNS: dnsIP, Bridge: bridge, PodCIDR: podCIDR,
		Gateway: podGateway, SimulatedCIDR: simulatedCIDR, CgroupRoot: cgroupRoot,
		PauseImage: "docker.io/millrace/pause:dev", CoreDNSImage: "docker.io/millrace/coredns:dev",
		Runc: runc, Snapshotter: snapshotter(p.State), ResolvConf: resolvConf,
		MTU: smallestMTU(), AppArmor: appArmor(), ForwardDNS: hasNameserver(resolvConf),
	}
}

// hostResolvConf is a resolver file that also means something inside a pod: the usual one of a machine
// with systemd-resolved names a loopback address.
func hostResolvConf() string {
	const resolved = "/run/systemd/resolve/resolv.conf"
	if _, err := os.Stat(resolved); err == nil {
		return resolved
	}
	return "/etc/resolv.conf"
}

// hasNameserver says whether names outside the cluster can be asked for at all.
func hasNameserver(resolvConf string) bool {
	file, err := os.Open(resolvConf)
	if err != nil {
		return false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip := net.ParseIP(fields[1]); ip != nil && !ip.IsLoopback() {
			return true
		}
	}
	return false
}

// smallestMTU of the machine's interfaces: a pod that sends larger packets loses them without a word.
func smallestMTU() int {
	mtu := 1500
	interfaces, err := net.Interfaces()
	if err != nil {
		return mtu
	}
	for _, i := range interfaces {
		up := i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0
		if up && i.Name != bridge && i.Name != nodeLink && !strings.HasPrefix(i.Name, "veth") && i.MTU < mtu {
			mtu = i.MTU
		}
	}
	return max(mtu, 1280)
}

// snapshotter falls back to copies where the state directory is itself an overlay, as in a container:
// overlays do not stack.
func snapshotter(state string) string {
	const overlayMagic = 0x794c7630
	var fs syscall.Statfs_t
	for dir := state; ; dir = filepath.Dir(dir) {
		if err := syscall.Statfs(dir, &fs); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "overlayfs"
		}
	}
	if fs.Type == overlayMagic {
		return "native"
	}
	return "overlayfs"
}

func appArmor() bool {
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(enabled), "Y")
}
