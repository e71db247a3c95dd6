"""Work with other projects: plugins from their checkouts run here, and methods of this project are exported to them."""
