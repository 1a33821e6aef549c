// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	controller "github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/internal/accelerator"
)

// asWide is a table with further columns.
const asWide format = "wide"

// further is a format that has one more value.
type further struct {
	*format
	more format
}

func (f further) Set(value string) error {
	if value == string(f.more) {
		*f.format = f.more
		return nil
	}
	return f.format.Set(value)
}

func (f further) Type() string { return f.format.Type() + "|" + string(f.more) }

// accelerators lists Accelerators.
type accelerators struct{ lister }

func newAccelerators(p *Program) *cobra.Command {
	cmd := &accelerators{lister{Program: p, format: asTable, hint: fmt.Sprintf(" %q prints some that describe the cluster.", p.Name+" accelerators discover")}}
	c := &cobra.Command{
		Use:     "accelerators",
		Aliases: []string{"accelerator", "acc"},
		Short:   "List accelerators: what there is, who uses it, and what fits now",
		Long: `List accelerators: what there is of each, what is in use, and what fits now.

FREE counts devices that a new pod could be given. LARGEST GANG is the largest set of pods that fits now,
as far as devices go: pods of one device, and, after the comma, pods that take a whole node.`,
		Example: `  mill accelerators
  mill accelerators -o wide
  mill accelerators discover > accelerators.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	cmd.addFormat(c, true)
	discover := newDiscover(p)
	discover.Args = usageArgs(discover.Args)
	c.AddCommand(discover)
	return c
}

func (a *accelerators) run(ctx context.Context) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	return a.list(ctx, cluster, a.layout, kindOf(controller.Name))
}

func acceleratorObjects(all []v1alpha1.Accelerator) []runtime.Object {
	objects := make([]runtime.Object, len(all))
	for i := range all {
		all[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(controller.Name))
		objects[i] = &all[i]
	}
	return objects
}

func (a *accelerators) layout(kind) layout {
	l := layout{header: []string{"RESOURCE", "NODES", "CAPACITY", "ALLOCATABLE", "IN USE", "FREE", "LARGEST GANG", "UNHEALTHY"}}
	if a.format == asWide {
		l.header = append(l.header, "SHARING", "BY NAMESPACE", "UNHEALTHY NODES", "CORDONED NODES", "MESSAGE")
	}
	l.row = func(o item) []string {
		acc, ok := o.Owner.(*v1alpha1.Accelerator)
		if !ok {
			return nil
		}
		st := &acc.Status
		row := []string{
			resourceOf(acc), number(st.Nodes), number(st.Capacity), number(st.Allocatable), number(st.InUse), number(st.Free),
			gangOf(st.LargestGang), number(st.Unhealthy),
		}
		if a.format == asWide {
			row = append(row, modeOf(acc), usersOf(st.ByNamespace), unhealthyOf(st.UnhealthyNodes), cordonedOf(st.CordonedNodes), messageOf(acc))
		}
		return row
	}
	return l
}

func resourceOf(a *v1alpha1.Accelerator) string {
	if a.Spec.DeviceClass != nil {
		return "class " + a.Spec.DeviceClass.Name
	}
	return a.Spec.Resource
}

// nothing stands for what is not known, or not there.
const nothing = "-"

func number(n *int32) string {
	if n == nil {
		return nothing
	}
	return fmt.Sprint(*n)
}

// gangOf is pods of one device, and pods that take a whole node: 10x1, 1x8.
func gangOf(g *v1alpha1.LargestGang) string {
	if g == nil || g.Devices == nil || g.WholeNodes == nil {
		return nothing
	}
	if g.DevicesPerNode <= 1 {
		return fmt.Sprintf("%dx1", *g.Devices)
	}
	return fmt.Sprintf("%dx1, %dx%d", *g.Devices, *g.WholeNodes, g.DevicesPerNode)
}

func modeOf(a *v1alpha1.Accelerator) string {
	if a.Spec.Sharing == nil {
		return string(v1alpha1.SharingNone)
	}
	return string(a.Spec.Sharing.Mode)
}

func usersOf(uses []v1alpha1.NamespaceUse) string {
	var parts []string
	for _, u := range uses {
		parts = append(parts, fmt.Sprintf("%s=%d", u.Namespace, u.InUse))
	}
	return cmp.Or(strings.Join(parts, ","), nothing)
}

func unhealthyOf(nodes []v1alpha1.UnhealthyNode) string {
	var parts []string
	for _, n := range nodes {
		parts = append(parts, fmt.Sprintf("%s=%d", n.Name, n.Devices))
	}
	return cmp.Or(strings.Join(parts, ","), nothing)
}

func cordonedOf(nodes []v1alpha1.CordonedNode) string {
	var parts []string
	for _, n := range nodes {
		parts = append(parts, n.Name)
	}
	return cmp.Or(strings.Join(parts, ","), nothing)
}

func messageOf(a *v1alpha1.Accelerator) string {
	ready := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return nothing
	}
	return ready.Message
}

// discover prints Accelerators that describe a cluster.
type discover struct {
	*Program
	format format
}

func newDiscover(p *Program) *cobra.Command {
	cmd := &discover{Program: p, format: asYAML}
	c := &cobra.Command{
		Use:   "discover",
		Short: "Print accelerators that describe the cluster, to be applied",
		Long: `Print accelerators that describe the cluster: one for each product that nodes have by their labels and
resources (GPU feature discovery, AMD, Intel, TPUs, Neuron, the labels of cloud providers), with what keeps such
nodes apart (taints), their fabric and their sharing, and one for each DeviceClass that has devices.

Nothing is written to the cluster. Read the result, give the names your users know, and apply it.`,
		Example: `  mill accelerators discover > accelerators.yaml
  mill accelerators discover | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	addFormat(c, &cmd.format)
	return c
}

func (d *discover) run(ctx context.Context) error {
	cluster, err := d.connect()
	if err != nil {
		return err
	}
	var nodes corev1.NodeList
	if err := cluster.List(ctx, &nodes); err != nil {
		return err
	}
	classes, err := deviceClasses(ctx, cluster)
	if err != nil {
		return err
	}
	found := accelerator.Discover(nodes.Items, classes)
	if len(found) == 0 {
		fmt.Fprintln(d.Err, "No node has devices that are known here: are their device plugins or drivers running?")
	}
	if d.format != asTable {
		return writeObjects(d.Out, d.format, acceleratorObjects(found))
	}
	t := table{header: []string{"NAME", "RESOURCE", "ON DEMAND", "SHARING"}}
	for i := range found {
		t.add(found[i].Name, resourceOf(&found[i]), onDemand(&found[i]), modeOf(&found[i]))
	}
	t.write(d.Out, "")
	return nil
}

// onDemand is how many devices nodes have that are made on demand.
func onDemand(a *v1alpha1.Accelerator) string {
	if a.Spec.DevicesPerNode == 0 {
		return "-"
	}
	return fmt.Sprintf("%d per node", a.Spec.DevicesPerNode)
}

// deviceClasses are the classes of dynamic resource allocation and their devices, none where the cluster does not serve it.
func deviceClasses(ctx context.Context, cluster *Cluster) ([]accelerator.Class, error) {
	var classes resourcev1.DeviceClassList
	var parts resourcev1.ResourceSliceList
	err := cluster.List(ctx, &classes)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := cluster.List(ctx, &parts); err != nil {
		return nil, err
	}
	var found []accelerator.Class
	for i := range classes.Items {
		class := &classes.Items[i]
		found = append(found, accelerator.Class{Name: class.Name, Devices: controller.Of(ctx, class, parts.Items)})
	}
	return found, nil
}
