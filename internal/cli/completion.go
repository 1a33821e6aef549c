// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// completionTime is how long a user is kept waiting after pressing Tab.
const completionTime = 3 * time.Second

// lookUp finds words in the cluster.
type lookUp func(context.Context, *Cluster) ([]string, error)

// complete offers fixed words for a flag.
func complete(c *cobra.Command, flag string, words ...string) {
	mustComplete(c, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// mustComplete fails only for a flag that does not exist, which no user can cause.
func mustComplete(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// words offers what a look-up finds. A cluster that does not answer offers nothing.
func (p *Program) words(c *cobra.Command, find lookUp, prefix string) ([]string, cobra.ShellCompDirective) {
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTime)
	defer cancel()
	cluster, err := p.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, err := find(ctx, cluster)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	slices.Sort(found)
	return slices.DeleteFunc(found, func(word string) bool { return !strings.HasPrefix(word, prefix) }), cobra.ShellCompDirectiveNoFileComp
}

// completeObject offers the words for kinds and the names of jobs, and behind a kind the names of its objects.
func (p *Program) completeObject(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	word, _, slash := strings.Cut(prefix, "/")
	switch {
	case len(args) == 0 && slash:
		return p.words(c, namesOf(word, word+"/"), prefix)
	case len(args) == 0:
		return p.words(c, func(ctx context.Context, cluster *Cluster) ([]string, error) {
			found, err := namesOf(trainingJob, "")(ctx, cluster)
			return append(found, kindWords()...), err
		}, prefix)
	case len(args) == 1:
		return p.words(c, namesOf(args[0], ""), prefix)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeNames offers the names of objects of a kind as the first argument.
func (p *Program) completeNames(kind string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return p.words(c, namesOf(kind, ""), prefix)
	}
}

// namesOf finds the names of the objects of a kind, with something before each.
func namesOf(word, before string) lookUp {
	return func(ctx context.Context, cluster *Cluster) ([]string, error) {
		of, known := kindsOf(word)
		if !known || len(of) > 1 {
			return nil, nil
		}
		items, err := cluster.items(ctx, of[0], false)
		var found []string
		for _, o := range items {
			found = append(found, before+o.GetName())
		}
		return found, err
	}
}

func namespaces(ctx context.Context, cluster *Cluster) ([]string, error) {
	var list corev1.NamespaceList
	err := cluster.List(ctx, &list)
	var found []string
	for i := range list.Items {
		found = append(found, list.Items[i].Name)
	}
	return found, err
}

// completeFlags offers namespaces and contexts everywhere.
func (p *Program) completeFlags(root *cobra.Command) {
	mustComplete(root, "namespace", func(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return p.words(c, namespaces, prefix)
	})
	mustComplete(root, "context", func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		config, err := p.target.loader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		for name := range config.Contexts {
			if strings.HasPrefix(name, prefix) {
				found = append(found, name)
			}
		}
		slices.Sort(found)
		return found, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeRole offers the roles of the job that is the first argument, and --index their numbers.
func (p *Program) completeRoles(c *cobra.Command) {
	ofJob := func(pick func(*v1alpha1.TrainingJob) []string) cobra.CompletionFunc {
		return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return p.words(c, func(ctx context.Context, cluster *Cluster) ([]string, error) {
				job, err := cluster.job(ctx, args[0])
				if err != nil {
					return nil, err
				}
				return pick(job), nil
			}, prefix)
		}
	}
	mustComplete(c, "role", ofJob(func(job *v1alpha1.TrainingJob) []string {
		var found []string
		for _, r := range job.Spec.Roles {
			found = append(found, r.Name)
		}
		return found
	}))
	mustComplete(c, "index", ofJob(func(job *v1alpha1.TrainingJob) []string {
		most := 0
		for _, r := range job.Spec.Roles {
			most = max(most, replicas(job, r))
		}
		var found []string
		for i := range most {
			found = append(found, strconv.Itoa(i))
		}
		return found
	}))
	mustComplete(c, "container", ofJob(func(job *v1alpha1.TrainingJob) []string {
		var found []string
		for _, r := range job.Spec.Roles {
			for _, container := range r.Template.Spec.Containers {
				found = append(found, container.Name)
			}
		}
		slices.Sort(found)
		return slices.Compact(found)
	}))
}
