package main

import "github.com/spf13/cobra"

func newDemo(e *environment) *cobra.Command { return &cobra.Command{Use: "demo", Hidden: true} }
