/** What ComfyUI's page gives to scripts: by its published declarations, and a few words that these lack. */

declare module "*/scripts/app.js" {
  export const app: Comfy.App;
}

declare module "*/scripts/api.js" {
  import type { ComfyApi } from "@comfyorg/comfyui-frontend-types";
  export const api: ComfyApi;
}

declare namespace Comfy {
  type Extension = import("@comfyorg/comfyui-frontend-types").ComfyExtension;
  type SidebarTab = import("@comfyorg/comfyui-frontend-types").SidebarTabExtension;
  type ToastMessage = import("@comfyorg/comfyui-frontend-types").ToastMessageOptions;
  type ExecutionError = import("@comfyorg/comfyui-frontend-types").ComfyApp["lastExecutionError"];

  type DeclaredApp = import("@comfyorg/comfyui-frontend-types").ComfyApp;
  type DeclaredSetting = Parameters<DeclaredApp["ui"]["settings"]["addSetting"]>[0];
  /** `sidebarTab`, `workflow` and `queueSettings` are stores that older frontends lack. Settings are declared with ComfyUI's ids alone. */
  type App = DeclaredApp & {
    extensionManager: {
      sidebarTab?: { activeSidebarTabId: string | null };
      queueSettings?: { mode: string };
      workflow?: { activeWorkflow?: { path: string } | null; openWorkflows?: { path: string }[] };
    };
    ui: { settings: { addSetting(setting: Omit<DeclaredSetting, "id"> & { id: string }): unknown } };
  };

  /** What a listener of the store of workflows is told, before the action. */
  type WorkflowAction = { name: string; args: { path: string }[]; after(callback: () => void): void };

  type Workflow = NonNullable<Parameters<App["loadGraphData"]>[0]>;

  type Node = Parameters<NonNullable<Extension["nodeCreated"]>>[0];
  type Slot = Node["inputs"][number];
  /** `draw` is the classic canvas'. */
  type Output = Node["outputs"][number] & { draw(context: CanvasRenderingContext2D, options: object): void };
  type Badge = Extract<Node["badges"][number], { text: string }>;
  /** A node as a page's own scripts extend it. */
  type NodeWithElements = Node & {
    addDOMWidget(name: string, type: string, element: HTMLElement, options: object): Widget;
  };
  /** What ComfyUI itself adds to nodes: the images on show, and what becomes of dropped files. */
  type NodeWithImages = Node & {
    imgs?: HTMLImageElement[];
    imageIndex?: number | null;
    onDragOver?: (event: DragEvent) => boolean;
    onDragDrop?: (event: DragEvent) => Promise<boolean>;
  };
  type Graph = NonNullable<Node["graph"]>;

  type DeclaredWidget = NonNullable<Node["widgets"]>[number];
  /** `getMinHeight` and `getMaxHeight` belong to widgets with an element; `_state` to those in the store of Nodes 2.0. */
  type WidgetOptions = DeclaredWidget["options"] & {
    advanced?: boolean;
    getMinHeight?: () => number | undefined;
    getMaxHeight?: () => number | undefined;
  };
  type Widget = DeclaredWidget & {
    options: WidgetOptions;
    element?: HTMLElement;
    _state?: { options?: WidgetOptions };
  };
}

interface Window {
  LiteGraph: {
    createNode(type: string): Comfy.Node | null;
    registered_node_types: Record<string, unknown>;
    vueNodesMode?: boolean;
  };
  LGraphCanvas?: { node_colors?: Record<string, { color: string; bgcolor: string } | undefined> };
  /** Older frontends lack it. */
  LGraphBadge?: new (options: {
    text: string;
    fgColor?: string;
    bgColor?: string;
    iconOptions?: { image: HTMLImageElement; size: number };
  }) => Comfy.Badge;
}
