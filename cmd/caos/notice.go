package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"caos/internal/client"
	"caos/internal/notify"
)

func newNotice(e *environment) *cobra.Command {
	return parent("notice", "Read what CAOS tells you", noticeList(e), noticeRead(e))
}

func noticeList(e *environment) *cobra.Command {
	var p paging
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List your unread notices, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			q := query()
			if !all {
				q.Set("unread", "true")
			}
			items, body, err := list[notify.Received](c.Context(), cl, "/v1/notices", q, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, n := range items {
					rows = append(rows, []string{n.NoticeID, moment(n.CreatedAt), n.Subject})
				}
				e.table([]string{"notice", "sent", "subject"}, rows)
			})
		},
	}
	p.bind(c)
	c.Flags().BoolVar(&all, "read", false, "those that were read too")
	return c
}

func noticeRead(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "read NOTICE", Short: "Say that you have read a notice", Args: wants("NOTICE"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/notices/" + escape(args[0]) + "/read"})
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.line("%s is read", args[0]) })
		},
	}
}
