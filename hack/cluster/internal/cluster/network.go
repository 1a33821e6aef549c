// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
)

// link is a bridge of the cluster and the address the node has on it. Nothing is ever attached to the node's own: an
// address is all it is for.
type link struct{ name, address string }

var links = []link{
	{nodeLink, nodeIP + "/32"},
	{bridge, podGateway + "/16"},
}

// sysctls the cluster needs: with the second, a reply between two pods of the bridge passes the address translation of
// the Service that was asked, and network policies see pod-to-pod traffic.
var sysctls = map[string]string{
	"net/ipv4/ip_forward":                "1",
	"net/bridge/bridge-nf-call-iptables": "1",
}

// masquerade lets pods reach what is outside the cluster, if the machine does.
const masquerade = `table ip millrace
delete table ip millrace
table ip millrace {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip saddr ` + podCIDR + ` ip daddr != { ` + podCIDR + `, ` + serviceCIDR + `, ` + nodeIP + ` } masquerade
	}
}
`

// policyRule sends the first packet of every connection between pods to the enforcer of network policies, and lets it
// pass when none listens, as on any cluster without one.
var policyRule = []string{
	"FORWARD", "-i", bridge, "-o", bridge, "-m", "conntrack", "--ctstate", "NEW",
	"-j", "NFQUEUE", "--queue-num", networkPolicyQueue, "--queue-bypass",
}

// setUpNetwork makes the links and rules that are absent.
func (c *Cluster) setUpNetwork(ctx context.Context) error {
	for _, l := range links {
		if err := l.ensure(ctx); err != nil {
			return err
		}
	}
	if err := c.setSysctls(); err != nil {
		return err
	}
	if _, err := command.Feed(ctx, masquerade, "nft", "-f", "-"); err != nil {
		return err
	}
	if iptables(ctx, "-C") == nil {
		return nil
	}
	return iptables(ctx, "-I")
}

func (l link) ensure(ctx context.Context) error {
	if _, err := net.InterfaceByName(l.name); err != nil {
		if err := command.Run(ctx, "ip", "link", "add", l.name, "type", "bridge"); err != nil {
			return err
		}
	}
	if err := command.Run(ctx, "ip", "address", "replace", l.address, "dev", l.name); err != nil {
		return err
	}
	return command.Run(ctx, "ip", "link", "set", l.name, "up")
}

func iptables(ctx context.Context, verb string) error {
	return command.Run(ctx, "iptables", append([]string{"-w", "-t", "mangle", verb}, policyRule...)...)
}

// setSysctls notes what each was before, so that down can put it back.
func (c *Cluster) setSysctls() error {
	for name, value := range sysctls {
		file := filepath.Join("/proc/sys", name)
		old, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("the kernel has no %s; load the module br_netfilter: %w", name, err)
		}
		if strings.TrimSpace(string(old)) == value {
			continue
		}
		if err := writeFile(c.sysctlNote(name), string(old)); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

func (c *Cluster) sysctlNote(name string) string {
	return c.paths.InState("sysctl", strings.ReplaceAll(name, "/", "."))
}

// removeNetwork takes away what setUpNetwork and kube-proxy made. What is absent already is no error.
func (c *Cluster) removeNetwork(ctx context.Context) error {
	for iptables(ctx, "-C") == nil {
		if err := iptables(ctx, "-D"); err != nil {
			return err
		}
	}
	for _, table := range []string{"ip millrace", "ip kube-proxy", "ip6 kube-proxy"} {
		family, name, _ := strings.Cut(table, " ")
		// Adding first makes the removal of an absent table no error.
		text := fmt.Sprintf("table %s %s\ndelete table %s %s\n", family, name, family, name)
		if _, err := command.Feed(ctx, text, "nft", "-f", "-"); err != nil {
			return err
		}
	}
	for _, l := range slices.Backward(links) {
		if _, err := net.InterfaceByName(l.name); err != nil {
			continue
		}
		if err := command.Run(ctx, "ip", "link", "delete", l.name); err != nil {
			return err
		}
	}
	return c.restoreSysctls()
}

func (c *Cluster) restoreSysctls() error {
	for name := range sysctls {
		old, err := os.ReadFile(c.sysctlNote(name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join("/proc/sys", name), old, 0o644); err != nil {
			return fmt.Errorf("putting %s back: %w", name, err)
		}
	}
	return nil
}

// policiesEnforced says whether the enforcer listens to the queue: without it everything passes.
func policiesEnforced() error {
	const queues = "/proc/net/netfilter/nfnetlink_queue"
	content, err := os.ReadFile(queues)
	if err != nil {
		return fmt.Errorf("network policies: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == networkPolicyQueue {
			return nil
		}
	}
	return fmt.Errorf("network policies: nobody listens to queue %s", strconv.Quote(networkPolicyQueue))
}
