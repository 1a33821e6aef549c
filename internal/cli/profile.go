// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	controller "github.com/millrace-ml/millrace/controllers/profile"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/profile"
)

// profiles lists Profiles and changes their members.
type profiles struct {
	lister
	role  string
	until string
}

func newProfile(p *Program) *cobra.Command {
	cmd := &profiles{lister: lister{Program: p, format: asTable}}
	c := &cobra.Command{
		Use:     "profile",
		Aliases: []string{"profiles"},
		Short:   "List profiles, and change who is a member",
		Long: `List profiles: whose they are, and who is a member.

"show" prints who may do what in a profile. "add" and "remove" change the spec of the profile; where Git has the
profile, change it there instead, or it is changed back. A subject is a user's name, group:NAME, or
serviceaccount:NAMESPACE:NAME.`,
		Example: `  mill profile
  mill profile show team-a
  mill profile add team-a bob@example.com --role viewer --until 2027-01-01
  mill profile remove team-a group:research`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	cmd.addFormat(c, false)
	show := &cobra.Command{
		Use: "show PROFILE", Short: "Print who may do what in a profile", Args: usageArgs(cobra.ExactArgs(1)), ValidArgsFunction: p.completeNames("profile"),
		RunE: func(c *cobra.Command, args []string) error { return cmd.show(c.Context(), args[0]) },
	}
	add := &cobra.Command{
		Use: "add PROFILE SUBJECT...", Short: "Give members a role, or change it", Args: usageArgs(cobra.MinimumNArgs(2)), ValidArgsFunction: p.completeNames("profile"),
		RunE: func(c *cobra.Command, args []string) error { return cmd.add(c.Context(), args[0], args[1:]) },
	}
	add.Flags().StringVar(&cmd.role, "role", string(v1alpha1.RoleEditor), "role: admin, editor or viewer")
	add.Flags().StringVar(&cmd.until, "until", "", "when the role ends: a date, or a time in RFC 3339; never when left out")
	complete(add, "role", string(v1alpha1.RoleAdmin), string(v1alpha1.RoleEditor), string(v1alpha1.RoleViewer))
	remove := &cobra.Command{
		Use: "remove PROFILE SUBJECT...", Short: "Take members out", Args: usageArgs(cobra.MinimumNArgs(2)), ValidArgsFunction: p.completeNames("profile"),
		RunE: func(c *cobra.Command, args []string) error { return cmd.remove(c.Context(), args[0], args[1:]) },
	}
	c.AddCommand(show, add, remove)
	return c
}

func (p *profiles) run(ctx context.Context) error {
	cluster, err := p.connect()
	if err != nil {
		return err
	}
	return p.list(ctx, cluster, func(kind) layout {
		return layout{[]string{"OWNER", "MEMBERS", "READY", "MESSAGE"}, func(o item) []string {
			ready := conditions.Get(o, v1alpha1.ConditionReady)
			members := cmp.Or(o.at(".status.members", "", p.Now()), nothing)
			return []string{o.at(".spec.owner.name", "", p.Now()), members, string(ready.Status), ready.Message}
		}}
	}, kindOf(controller.Name))
}

// rights is what the roles stand for in short; docs/profile.md has them in full.
var rights = map[v1alpha1.ProfileRole]string{
	v1alpha1.RoleAdmin:  "everything an editor may, and give others access",
	v1alpha1.RoleEditor: "make, change and use workloads, volumes and secrets; exec",
	v1alpha1.RoleViewer: "look, but not into secrets nor into containers",
}

func (p *profiles) show(ctx context.Context, name string) error {
	_, of, err := p.find(ctx, name)
	if err != nil {
		return err
	}
	t := &table{header: []string{"SUBJECT", "ROLE", "UNTIL", "MAY"}}
	for i, g := range profile.Grants(of, p.Now()) {
		until := nothing
		if !g.Until.IsZero() {
			until = g.Until.UTC().Format(time.RFC3339)
		}
		role := string(g.Role)
		if i == 0 {
			role += " (owner)"
		}
		t.add(profile.Title(g.Subject), role, until, rights[g.Role])
	}
	for _, role := range profile.Roles {
		if role.Account != "" {
			t.add("ServiceAccount/"+name+"/"+role.Account, string(role.Name), nothing, rights[role.Name])
		}
	}
	for _, gone := range profile.Expired(of, p.Now()) {
		t.add(gone, nothing, "over", "nothing")
	}
	t.write(p.Out, "")
	return nil
}

// find reads a Profile.
func (p *profiles) find(ctx context.Context, name string) (*Cluster, *v1alpha1.Profile, error) {
	cluster, err := p.connect()
	if err != nil {
		return nil, nil, err
	}
	of := &v1alpha1.Profile{}
	return cluster, of, cluster.find(ctx, kindOf(controller.Name), name, of)
}

// change edits the members of a Profile by a patch that fails when somebody else changed it meanwhile.
func (p *profiles) change(ctx context.Context, name string, edit func(*v1alpha1.Profile) error) error {
	cluster, of, err := p.find(ctx, name)
	if err != nil {
		return err
	}
	before := of.DeepCopy()
	if err := edit(of); err != nil {
		return err
	}
	return cluster.Patch(ctx, of, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

func (p *profiles) add(ctx context.Context, name string, who []string) error {
	expires, err := date(p.until)
	if err != nil {
		return err
	}
	subjects, err := subjectsOf(who)
	if err != nil {
		return err
	}
	err = p.change(ctx, name, func(of *v1alpha1.Profile) error {
		for _, s := range subjects {
			if s == of.Spec.Owner {
				return usagef("%s is the owner of %s already", profile.Title(s), name)
			}
			of.Spec.Members = append(without(of.Spec.Members, s), v1alpha1.Member{Subject: s, Role: v1alpha1.ProfileRole(p.role), Expires: expires})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.show(ctx, name)
}

func (p *profiles) remove(ctx context.Context, name string, who []string) error {
	subjects, err := subjectsOf(who)
	if err != nil {
		return err
	}
	err = p.change(ctx, name, func(of *v1alpha1.Profile) error {
		for _, s := range subjects {
			left := without(of.Spec.Members, s)
			if len(left) == len(of.Spec.Members) {
				return exit{code: ExitNotFound, err: fmt.Errorf("%s is no member of %s", profile.Title(s), name)}
			}
			of.Spec.Members = left
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.show(ctx, name)
}

func without(members []v1alpha1.Member, s v1alpha1.Subject) []v1alpha1.Member {
	return slices.DeleteFunc(slices.Clone(members), func(m v1alpha1.Member) bool { return m.Subject == s })
}

func subjectsOf(who []string) ([]v1alpha1.Subject, error) {
	var all []v1alpha1.Subject
	for _, text := range who {
		s, err := subjectOf(text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// subjectOf reads a user's name, group:NAME, or serviceaccount:NAMESPACE:NAME.
func subjectOf(text string) (v1alpha1.Subject, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "group":
		return v1alpha1.Subject{Kind: v1alpha1.UserGroup, Name: rest}, nil
	case "serviceaccount":
		namespace, name, found := strings.Cut(rest, ":")
		if !found || namespace == "" || name == "" {
			return v1alpha1.Subject{}, usagef("%s: write serviceaccount:NAMESPACE:NAME", text)
		}
		return v1alpha1.Subject{Kind: v1alpha1.ServiceAccount, Namespace: namespace, Name: name}, nil
	}
	return v1alpha1.Subject{Kind: v1alpha1.User, Name: text}, nil
}

// date reads a day, which ends with it, or a time.
func date(text string) (*metav1.Time, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // left out, a role does not end
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return new(metav1.NewTime(t)), nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return nil, usagef("--until %s: write a date, such as 2027-01-31, or a time in RFC 3339", text)
	}
	return new(metav1.NewTime(t.AddDate(0, 0, 1))), nil
}
