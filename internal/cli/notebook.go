// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
)

// notebooks lists notebooks, opens them, and stops and starts them.
type notebooks struct {
	lister
	port int
}

func newNotebook(p *Program) *cobra.Command {
	cmd := &notebooks{lister: lister{Program: p, format: asTable}}
	c := &cobra.Command{
		Use:     "notebook",
		Aliases: []string{"notebooks", "nb"},
		Short:   "List notebooks, open one, stop, start and restart it",
		Long: `List notebooks, open one, stop, start and restart it.

"open" forwards a port of this machine to the server and prints the address, until it is interrupted.
"stop" and "start" set and remove the annotation kubeflow-resource-stopped; "start" sets spec.stopped to
false too, where it is true. "restart" makes the changes that wait (status.pendingChanges): what runs
in the server ends.`,
		Example: `  mill notebook list
  mill notebook open lab
  mill notebook restart lab`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	list := &cobra.Command{
		Use: "list", Short: "List notebooks", Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	for _, l := range []*cobra.Command{c, list} {
		cmd.addFlags(l, false)
	}
	c.AddCommand(list)
	for _, act := range []struct {
		name, short string
		run         func(context.Context, *Cluster, *v1alpha1.Notebook) error
	}{
		{"open", "Forward a port to a notebook and print its address", cmd.open},
		{"stop", "Stop a notebook; its files stay", cmd.stop},
		{"start", "Start a notebook that is stopped", cmd.start},
		{"restart", "Restart a notebook, so that the changes that wait are made", cmd.restart},
	} {
		one := &cobra.Command{
			Use: act.name + " NAME", Short: act.short, Args: usageArgs(cobra.ExactArgs(1)), ValidArgsFunction: p.completeNames("notebook"),
			RunE: func(c *cobra.Command, args []string) error { return cmd.on(c.Context(), args[0], act.run) },
		}
		if act.name == "open" {
			one.Flags().IntVarP(&cmd.port, "port", "p", 0, "port of this machine; one that is free when left out")
		}
		c.AddCommand(one)
	}
	return c
}

// on does something to one notebook.
func (n *notebooks) on(ctx context.Context, name string, do func(context.Context, *Cluster, *v1alpha1.Notebook) error) error {
	cluster, err := n.connect()
	if err != nil {
		return err
	}
	nb := &v1alpha1.Notebook{}
	if err := cluster.find(ctx, kindOf("Notebook"), name, nb); err != nil {
		return err
	}
	return do(ctx, cluster, nb)
}

func (n *notebooks) run(ctx context.Context) error {
	cluster, err := n.connect()
	if err != nil {
		return err
	}
	return n.list(ctx, cluster, func(kind) layout {
		return layout{[]string{"PHASE", "USED", "STOPS IN", "PENDING", "MESSAGE"}, n.cells}
	}, kindOf("Notebook"))
}

func (n *notebooks) cells(o item) []string {
	used, stops := o.at(".status.lastActivity", "date", n.Now()), nothing
	if used != "" {
		used += " ago"
	}
	if at, err := time.Parse(time.RFC3339, o.at(".status.cullTime", "", n.Now())); err == nil {
		stops = short(max(0, at.Sub(n.Now())))
	}
	pending := o.at(".status.pendingChanges[*].field", "", n.Now())
	return []string{o.phase(), cmp.Or(used, nothing), stops, pending, conditions.Get(o, v1alpha1.ConditionReady).Message}
}

// annotate changes annotations and, where there is one to change, the spec.
func annotate(ctx context.Context, cluster *Cluster, nb *v1alpha1.Notebook, annotations, spec map[string]any) error {
	change := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	if spec != nil {
		change["spec"] = spec
	}
	data, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("writing the change: %w", err)
	}
	return cluster.Patch(ctx, nb, client.RawPatch(types.MergePatchType, data), client.FieldOwner("mill"))
}

func (n *notebooks) stop(ctx context.Context, cluster *Cluster, nb *v1alpha1.Notebook) error {
	if _, stopped := nb.Annotations[names.Stopped]; stopped {
		fmt.Fprintf(n.Out, "Notebook %s is stopped already.\n", nb.Name)
		return nil
	}
	err := annotate(ctx, cluster, nb, map[string]any{names.Stopped: n.Now().UTC().Format(time.RFC3339), names.StoppedBecause: nil}, nil)
	if err == nil {
		fmt.Fprintf(n.Out, "Notebook %s is being stopped; its files stay.\n", nb.Name)
	}
	return err
}

func (n *notebooks) start(ctx context.Context, cluster *Cluster, nb *v1alpha1.Notebook) error {
	var spec map[string]any
	if nb.Spec.Stopped != nil && *nb.Spec.Stopped {
		spec = map[string]any{"stopped": false}
		fmt.Fprintln(n.Err, "note: spec.stopped is true and is set to false; where Git has the notebook, change it there too")
	}
	err := annotate(ctx, cluster, nb, map[string]any{names.Stopped: nil, names.StoppedBecause: nil}, spec)
	if err == nil {
		fmt.Fprintf(n.Out, "Notebook %s is being started.\n", nb.Name)
	}
	return err
}

// restart names the pod that is to go: whatever comes after it stays.
func (n *notebooks) restart(ctx context.Context, cluster *Cluster, nb *v1alpha1.Notebook) error {
	pod, err := podOfNotebook(ctx, cluster, nb)
	if err != nil {
		return err
	}
	if err := annotate(ctx, cluster, nb, map[string]any{names.Restart: string(pod.UID)}, nil); err != nil {
		return err
	}
	fmt.Fprintf(n.Out, "Notebook %s is being restarted.\n", nb.Name)
	return nil
}

func podOfNotebook(ctx context.Context, cluster *Cluster, nb *v1alpha1.Notebook) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	err := cluster.Get(ctx, client.ObjectKey{Namespace: nb.Namespace, Name: nb.Name + "-0"}, pod)
	if isMissing(err) || err == nil && pod.Labels[names.Notebook] != nb.Name {
		return nil, fmt.Errorf("notebook %s does not run (%s): mill notebook start %s starts it", nb.Name, nb.Status.Phase, nb.Name)
	}
	return pod, err
}

// open forwards a port until it is interrupted.
func (n *notebooks) open(ctx context.Context, cluster *Cluster, nb *v1alpha1.Notebook) error {
	pod, err := podOfNotebook(ctx, cluster, nb)
	if err != nil {
		return err
	}
	if cluster.Forward == nil {
		return errors.New("this cluster cannot be reached by port forwarding")
	}
	target := 8888
	if ports := pod.Spec.Containers[0].Ports; len(ports) > 0 {
		target = int(ports[0].ContainerPort)
	}
	path := names.NotebookPath(nb.Namespace, nb.Name) + "/"
	if r := nb.Spec.Route; r != nil && r.Rewrite != "" {
		path = r.Rewrite // nobody rewrites here
	}
	return cluster.Forward(ctx, pod, strconv.Itoa(n.port)+":"+strconv.Itoa(target), func(local int) {
		fmt.Fprintf(n.Out, "http://localhost:%d%s\n", local, path)
		fmt.Fprintln(n.Err, "Forwarding until interrupted.")
	})
}
